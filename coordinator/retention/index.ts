export * from './content-gate.js';
export * from './create-retention.js';
export * from './hold-during.js';
export * from './plan-garbage.js';
export type * from './ports.js';
