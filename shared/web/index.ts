export * from './blob-source.js';
