export * from './completion-server.js';
export * from './event-stream.js';
export * from './generate-text.js';
export * from './model-messages.js';
export * from './model-process.js';
export * from './model-slot.js';
export * from './piece-window.js';
export * from './serving-activity.js';
