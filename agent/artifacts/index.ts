export * from './artifacts.js';
export * from './download.js';
export * from './fetch-range.js';
