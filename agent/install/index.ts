export * from './expand-package.js';
export * from './install-record.js';
export * from './installer.js';
export * from './needed-content.js';
export * from './prove-health.js';
export * from './read-manifest-text.js';
export * from './verify-manifest.js';
