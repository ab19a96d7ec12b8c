export * from './early-stopping.js';
export * from './hypervolume.js';
export * from './kendall-tau.js';
export * from './normal-quantile.js';
export * from './paired-difference.js';
export * from './quantile.js';
export * from './wilson-interval.js';
