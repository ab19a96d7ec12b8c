export * from './adapter-space.js';
export * from './catalog.js';
export type * from './ports.js';
export * from './read-rows.js';
export * from './releases.js';
