import type { TrainingOptions } from '@fleetlora/shared/protocol';

/** What a run uses for options that are not given. */
export const defaultTrainingOptions: TrainingOptions = {
  steps: 480,
  batchRows: 128,
  learningRate: 3e-3,
  warmupSteps: 50,
  weightDecay: 0.01,
  clipNorm: 1,
  sampling: 'sandwich',
  randomSubnets: 2,
  maxTokens: 64,
  seed: 1,
  checkpointEverySteps: 50,
  threads: 2,
};
