export { batchSizeOf } from './batch-size.js';
export { compareTrials } from './compare-trials.js';
export * from './create-campaign.js';
export * from './judge-drift.js';
export type { MeasuredTrial } from './list-differences.js';
export { createMachineQueues, type MachineQueues } from './machine-queues.js';
export { timeoutOf } from './measure-work.js';
export { pickTrial } from './pick-trial.js';
export type * from './ports.js';
