export * from './anchor-genome.js';
export * from './cost.js';
export * from './genome.js';
export { oneCandidateSpace } from './one-candidate.js';
export * from './presets.js';
export * from './search-space.js';
export { type SpaceModel, spaceModelOf } from './space-choices.js';
export * from './space-file.js';
export type { Gene } from './space-genes.js';
