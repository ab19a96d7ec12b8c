export type { WeightFile } from '../graph/graph-weights.js';
export type { TokenRow } from '../text/encode-row.js';
export * from './adapter-slices.js';
export * from './candidate-model.js';
export * from './decoder.js';
export * from './generate.js';
export * from './generate-rows.js';
export * from './package.js';
export * from './scorer.js';
