export * from './content-store.js';
export * from './file-source.js';
export * from './runtime.js';
