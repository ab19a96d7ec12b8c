export * from './create-evaluation.js';
export type * from './ports.js';
