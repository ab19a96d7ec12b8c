import { completePlan } from './complete-plan.js';
import { limits } from './limits.js';
import type { MeasurePlan } from './measure-plan.js';

/** Longest number of a message: 99999.9999 and a comma. */
const SAMPLE_CHARACTERS = 11;
/** For everything in a result that is no sample. */
const OTHER_CHARACTERS = 24 * 1024;

/** Raw samples that fit into the message of a result. */
export const mostResultSamples = Math.floor((limits.upMessageBytes - OTHER_CHARACTERS) / SAMPLE_CHARACTERS);

/**
 * Raw samples of a result of `candidates`. A session takes an equal share of the plan's repeats,
 * rounded up, or down where the total would be more than a result may hold of one quantity; a batch
 * tells the shared samples of its first candidate beside the absolute ones.
 */
export function resultSamples(plan: MeasurePlan, candidates: number): number {
  const { sessions } = completePlan(plan);
  const total = (repeats: number): number =>
    sessions * Math.min(Math.ceil(repeats / sessions), Math.floor(limits.samples / sessions));
  const sets = candidates === 1 ? 1 : candidates + 1;
  return sets * (total(plan.prefillRepeats) + total(plan.decodeRepeats));
}
