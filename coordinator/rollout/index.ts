export * from './create-rollouts.js';
export * from './plan-rollout.js';
export type * from './ports.js';
