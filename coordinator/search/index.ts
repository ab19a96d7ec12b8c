export * from './baselines.js';
export * from './choose-point.js';
export * from './constraint.js';
export * from './create-strategy.js';
export * from './metric.js';
export * from './pareto.js';
export * from './strategy.js';
