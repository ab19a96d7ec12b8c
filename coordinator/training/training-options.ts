import type { TrainingOptions } from '@fleetlora/shared/protocol';

/** What a run uses for options that are not given: small batches, many steps. */
export const defaultTrainingOptions: TrainingOptions = {
  steps: 1000,
  batchRows: 48,
  learningRate: 1.5e-3,
  warmupSteps: 30,
  weightDecay: 0,
  clipNorm: 1,
  sampling: 'sandwich',
  randomSubnets: 2,
  maxTokens: 64,
  seed: 1,
  checkpointEverySteps: 50,
  threads: 2,
};

/**
 * What tuning one candidate uses in their place: it starts with trained factors, so that steps are
 * few and small, and every step trains the one candidate there is.
 */
export const defaultTuneOptions = {
  steps: 100,
  learningRate: 3e-4,
  warmupSteps: 10,
  sampling: 'uniform',
  randomSubnets: 1,
} as const satisfies Partial<TrainingOptions>;
