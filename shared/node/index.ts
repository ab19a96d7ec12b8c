export * from './content-store.js';
export * from './disk-full.js';
export * from './file-source.js';
export * from './make-folder.js';
export * from './patience.js';
export * from './run-in-time.js';
export * from './runtime.js';
export * from './stoppable-runtime.js';
