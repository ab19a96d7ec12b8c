export * from './cost.js';
export * from './genome.js';
export * from './presets.js';
export * from './search-space.js';
