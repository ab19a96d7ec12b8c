import type { PercentDifference } from '../protocol/measurement.js';
import { meanInterval } from './mean-interval.js';
import { pairedShift } from './paired-shift.js';
import { percentDifference, percentOf } from './percent-difference.js';
import { median } from './quantile.js';

/** Below this the t interval of the sessions is so wide that it says nothing (12.7 errors for two). */
const ENOUGH_SESSIONS = 3;

/**
 * By how many percent of the reference's median the samples of several sessions are above it,
 * paired: the mean of the sessions' shifts (`pairedShift`), with the t interval of these.
 *
 * Where a candidate's factors happen to lie in memory makes it faster or slower by about half a
 * percent for as long as its process lives. All pairs of a session share that, so an interval from
 * the pairs alone, were they one sample, tells equal candidates apart in a third of all cases once
 * it gets as narrow. Below three sessions there is only that.
 * @param samples [sessions][pairs] and @param reference the same, taken in the same rounds
 * @param confidence two-sided, 0.95 by default
 * @throws RangeError for unequal numbers of sessions or pairs, no sessions, or one without pairs
 * @source one-sample t on cluster means, as for cluster-randomised trials: A. Donner and N. Klar,
 *   Design and Analysis of Cluster Randomization Trials (2000), 6.2
 */
export function sessionDifference(
  samples: readonly (readonly number[])[],
  reference: readonly (readonly number[])[],
  confidence = 0.95,
): PercentDifference {
  if (samples.length !== reference.length)
    throw new RangeError(`${samples.length} sessions are paired with ${reference.length}`);
  const shifts = samples.map(
    (session, index) => pairedShift(session, reference[index] ?? [], confidence).shift,
  );
  if (samples.length < ENOUGH_SESSIONS)
    return percentDifference(samples.flat(), reference.flat(), confidence);
  const { mean: shift, ...interval } = meanInterval(shifts, confidence);
  return percentOf({ shift, ...interval }, median(reference.flat()));
}

/**
 * Samples that were written one session after another, as sessions again.
 * @param sizes of the sessions, in order
 * @throws RangeError when they do not add up
 */
export function splitSessions(samples: readonly number[], sizes: readonly number[]): number[][] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total !== samples.length)
    throw new RangeError(`${samples.length} samples are split into sessions of ${sizes.join(', ')}`);
  let from = 0;
  return sizes.map((size) => {
    from += size;
    return samples.slice(from - size, from);
  });
}
