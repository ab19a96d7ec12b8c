export * from './artifacts.js';
export * from './download.js';
export * from './fetch-range.js';
export * from './keep-content.js';
export * from './plan-eviction.js';
