export * from './data-folder.js';
export * from './folder-lock.js';
