import type { MeanInterval } from './mean-interval.js';
import { studentQuantile } from './normal-quantile.js';
import { mean, standardDeviation } from './quantile.js';

/**
 * By how much the mean of one sample is above that of another that was taken independently, with
 * Welch's t interval: the two may spread differently.
 * @param confidence two-sided, 0.95 by default
 * @throws RangeError for fewer than two values in either
 * @source B. L. Welch, Biometrika 34 (1947); degrees of freedom by Welch and Satterthwaite
 */
export function welchDifference(a: readonly number[], b: readonly number[], confidence = 0.95): MeanInterval {
  for (const { length } of [a, b])
    if (length < 2) throw new RangeError(`a sample of ${length} has no spread, at least 2 are needed`);
  const difference = mean(a) - mean(b);
  const [x, y] = [a, b].map((values) => standardDeviation(values) ** 2 / values.length) as [number, number];
  if (x + y === 0) return { mean: difference, low: difference, high: difference };
  const freedom = (x + y) ** 2 / (x ** 2 / (a.length - 1) + y ** 2 / (b.length - 1));
  // Whole degrees, rounded down: the wider interval, and where the quantile is exact.
  const half =
    studentQuantile((1 + confidence) / 2, Math.max(1, Math.floor(freedom + 1e-9))) * Math.sqrt(x + y);
  return { mean: difference, low: difference - half, high: difference + half };
}
