import { binomialAtMost } from './binomial.js';
import { sorted } from './quantile.js';

const CONFIDENCE = 0.99;

/**
 * How many of the largest samples may be set aside when the `p` quantile is bounded from `n`
 * samples at 99 % confidence; 0 when the quantile is not established.
 */
function discarded(n: number, p: number, confidence: number): number {
  let count = 0;
  // Nudged, so that a probability equal to the limit but for rounding counts as within it.
  while (count < n && binomialAtMost(count + 1, n, 1 - p) <= 1 - confidence + 1e-12) count++;
  return count;
}

/**
 * Fewest samples that establish the `p` quantile: 11 for 0.5, 64 for 0.9, 662 for 0.99.
 * @param p in (0, 1)
 * @source MLPerf inference rules, early stopping criterion (confidence 0.99, d = 0): at least one
 *   sample must be left above the bound
 */
export function samplesNeeded(p: number, confidence = CONFIDENCE): number {
  let n = 2;
  while (discarded(n, p, confidence) < 1) n++;
  return n;
}

/**
 * A value that the `p` quantile does not exceed, at 99 % confidence, or null when there are too
 * few samples to say. With the fewest samples needed it is the second largest.
 * @source as `samplesNeeded`
 */
export function quantileUpperBound(
  samples: readonly number[],
  p: number,
  confidence = CONFIDENCE,
): number | null {
  const count = discarded(samples.length, p, confidence);
  return count < 1 ? null : (sorted(samples)[samples.length - 1 - count] as number);
}
