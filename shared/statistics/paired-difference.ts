import { studentQuantile } from './normal-quantile.js';
import { mean, standardDeviation } from './quantile.js';
import type { Interval } from './wilson-interval.js';

export interface PairedDifference extends Interval {
  /** Mean of a[i] - b[i]. */
  readonly mean: number;
  readonly pairs: number;
}

/**
 * Mean difference of two samples taken on the same items, with its t interval. Pairing removes
 * what the items share (hard rows, a warm machine), which an interval of two means would not.
 * @param a values of the first, @param b of the second, on the same items in the same order
 * @throws RangeError for unequal lengths or fewer than two pairs
 */
export function pairedDifference(
  a: readonly number[],
  b: readonly number[],
  confidence = 0.95,
): PairedDifference {
  if (a.length !== b.length) throw new RangeError(`${a.length} values are paired with ${b.length}`);
  if (a.length < 2) throw new RangeError(`${a.length} pairs have no interval, at least 2 are needed`);
  const differences = a.map((value, index) => value - (b[index] as number));
  const centre = mean(differences);
  const error = standardDeviation(differences) / Math.sqrt(a.length);
  const half = studentQuantile((1 + confidence) / 2, a.length - 1) * error;
  return { mean: centre, low: centre - half, high: centre + half, pairs: a.length };
}
