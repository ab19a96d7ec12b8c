import { meanInterval } from './mean-interval.js';
import { normalQuantile } from './normal-quantile.js';
import { sorted } from './quantile.js';
import type { Interval } from './wilson-interval.js';

export interface PairedShift extends Interval {
  /** By how much a[i] is above b[i]. */
  readonly shift: number;
  readonly pairs: number;
}

/** Up to here the signed-rank distribution is summed exactly; above, the normal one is within 0.1 %. */
const EXACT_PAIRS = 100;

/**
 * By how much the first of two samples taken on the same items is above the second: the median of
 * all averages of two differences (Hodges and Lehmann), with the interval of the Wilcoxon
 * signed-rank test. Unlike a mean it shrugs off the odd sample that an interrupt made long.
 *
 * Too few pairs for a distribution-free interval (below 6 at 95 %) have the t interval instead,
 * a single pair an infinite one.
 * @param a values of the first, @param b of the second, on the same items in the same order
 * @param confidence two-sided, 0.95 by default
 * @throws RangeError for unequal lengths, no pairs, or a difference that is not finite
 * @source M. Hollander and D. A. Wolfe, Nonparametric Statistical Methods (1999), 3.2 and 3.3
 */
export function pairedShift(a: readonly number[], b: readonly number[], confidence = 0.95): PairedShift {
  if (a.length !== b.length) throw new RangeError(`${a.length} values are paired with ${b.length}`);
  if (a.length === 0) throw new RangeError('0 pairs have no shift, at least 1 is needed');
  const differences = sorted(a.map((value, index) => value - (b[index] as number)));
  const unusable = differences.find((difference) => !Number.isFinite(difference));
  if (unusable !== undefined)
    throw new RangeError(`a difference of ${unusable} has no rank, finite ones are wanted`);
  const pairs = a.length;
  const averages = (pairs * (pairs + 1)) / 2;
  const upper = nthAverage(differences, Math.floor(averages / 2) + 1);
  const shift = averages % 2 === 1 ? upper : (nthAverage(differences, averages / 2) + upper) / 2;
  const rank = intervalRank(pairs, (1 - confidence) / 2);
  if (rank >= 1) {
    const low = nthAverage(differences, rank);
    return { shift, low, high: nthAverage(differences, averages + 1 - rank), pairs };
  }
  if (pairs === 1) return { shift, low: -Infinity, high: Infinity, pairs };
  const { low, high } = meanInterval(differences, confidence);
  return { shift, low, high, pairs };
}

/**
 * Which of the ascending averages is the lower end: the largest c with P(T < c) within `missed`,
 * T the sum of the ranks of positive differences; 0 when there is none.
 */
function intervalRank(pairs: number, missed: number): number {
  if (pairs > EXACT_PAIRS) {
    const centre = (pairs * (pairs + 1)) / 4;
    const deviation = Math.sqrt((pairs * (pairs + 1) * (2 * pairs + 1)) / 24);
    return Math.floor(centre + 0.5 + normalQuantile(missed) * deviation);
  }
  const probabilities = signedRankProbabilities(pairs);
  let below = 0;
  let rank = 0;
  for (const probability of probabilities) {
    below += probability;
    // Nudged, so that a probability equal to the limit but for rounding counts as within it.
    if (below > missed + 1e-12) break;
    rank++;
  }
  return rank;
}

/** P(T = 0, 1, ... pairs·(pairs + 1)/2): each of the ranks 1 ... pairs counts with probability 1/2. */
function signedRankProbabilities(pairs: number): Float64Array {
  const probabilities = new Float64Array((pairs * (pairs + 1)) / 2 + 1);
  probabilities[0] = 1;
  for (let rank = 1; rank <= pairs; rank++) {
    for (let sum = (rank * (rank + 1)) / 2; sum >= 0; sum--) {
      const without = probabilities[sum] as number;
      const withIt = sum >= rank ? (probabilities[sum - rank] as number) : 0;
      probabilities[sum] = (without + withIt) / 2;
    }
  }
  return probabilities;
}

/**
 * The `nth` smallest (from 1) of all (x[i] + x[j]) / 2 with i <= j, without making the half million
 * that 1,000 differences have: halves the range of values until one number is left, and counts the
 * averages up to its middle along the border of the ordered triangle.
 * @param x ascending
 */
function nthAverage(x: readonly number[], nth: number): number {
  let low = x[0] as number;
  let high = x[x.length - 1] as number;
  if (countUpTo(x, low) >= nth) return low;
  // Invariant: fewer than nth averages are <= low, at least nth are <= high.
  for (;;) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    if (countUpTo(x, middle) >= nth) high = middle;
    else low = middle;
  }
}

/** How many averages of two of the ascending `x`, each with itself included, are at most `limit`. */
function countUpTo(x: readonly number[], limit: number): number {
  let count = 0;
  let first = 0;
  let second = x.length - 1;
  // Rounded addition keeps order, so the partners of x[first] that are small enough only get fewer.
  while (first <= second) {
    if (((x[first] as number) + (x[second] as number)) / 2 <= limit) {
      count += second - first + 1;
      first++;
    } else second--;
  }
  return count;
}
