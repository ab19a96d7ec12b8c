import type { PercentDifference } from '../protocol/measurement.js';
import { meanInterval } from './mean-interval.js';
import { percentDifference, percentOf } from './percent-difference.js';
import { median } from './quantile.js';

/** Below this the t interval of the sessions is so wide that it says nothing (12.7 errors for two). */
const ENOUGH_SESSIONS = 3;

/**
 * By how many percent the samples of several sessions are above the reference, paired: the mean of the
 * sessions' median ratios of a pair (in logarithms), with the t interval of these.
 *
 * Where a candidate's factors happen to lie in memory makes it faster or slower by about half a
 * percent for as long as its process lives. All pairs of a session share that, so an interval from
 * the pairs alone, were they one sample, tells equal candidates apart in a third of all cases once
 * it gets as narrow. Ratios, because a machine that slows down stretches a difference too; medians,
 * because a pair that was disturbed in its midst is worth nothing. Below three sessions, or where a
 * sample is 0, there are only the pairs.
 * @param samples [sessions][pairs] in ms, and @param reference the same, taken in the same rounds
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
  const ratios = samples.map((session, index) => pairRatios(session, reference[index] ?? []));
  const hasLogarithms = ratios.flat().every((ratio) => ratio > 0 && ratio < Infinity);
  if (samples.length < ENOUGH_SESSIONS || !hasLogarithms)
    return percentDifference(samples.flat(), reference.flat(), confidence);
  const { mean, low, high } = meanInterval(
    ratios.map((session) => median(session.map(Math.log))),
    confidence,
  );
  const shift = (logarithm: number): number => Math.exp(logarithm) - 1;
  return percentOf({ shift: shift(mean), low: shift(low), high: shift(high) }, 1);
}

function pairRatios(session: readonly number[], reference: readonly number[]): number[] {
  if (session.length !== reference.length)
    throw new RangeError(`${session.length} values are paired with ${reference.length}`);
  return session.map((value, index) => value / (reference[index] as number));
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
