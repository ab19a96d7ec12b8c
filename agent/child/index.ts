export * from './answer-parent.js';
export * from './prefer-as-victim.js';
export * from './run-child.js';
export * from './turns.js';
