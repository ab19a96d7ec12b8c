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
 * tells the shared samples of its first candidate beside the absolute ones, and turns with the
 * sentinel are told of both.
 */
export function resultSamples(
  plan: MeasurePlan,
  candidates: number,
  turns: 'besideSentinel' | 'alone',
): number {
  const samplesOf = ({ sessions, prefillRepeats, decodeRepeats }: Required<MeasurePlan>): number => {
    const total = (repeats: number): number =>
      sessions * Math.min(Math.ceil(repeats / sessions), Math.floor(limits.samples / sessions));
    return total(prefillRepeats) + total(decodeRepeats);
  };
  const sets = candidates === 1 ? 1 : candidates + 1;
  const beside = turns === 'besideSentinel' ? 2 * samplesOf(besidePlanOf(plan)) : 0;
  return sets * samplesOf(completePlan(plan)) + beside;
}

/**
 * How a candidate is timed in turns with the sentinel: in four sessions for each of the plan, with twice
 * the decode steps in all. What they scatter by is mostly the luck of a process and of its moment, so
 * they are many and short.
 */
export function besidePlanOf(plan: MeasurePlan): Required<MeasurePlan> {
  const whole = completePlan(plan);
  return {
    ...whole,
    sessions: Math.min(4 * whole.sessions, limits.sessions),
    decodeRepeats: Math.min(2 * whole.decodeRepeats, limits.samples),
  };
}
