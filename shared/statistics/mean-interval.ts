import { studentQuantile } from './normal-quantile.js';
import { mean, standardDeviation } from './quantile.js';
import type { Interval } from './wilson-interval.js';

export interface MeanInterval extends Interval {
  readonly mean: number;
}

/**
 * A mean with its t interval: mean ± t·s/√n.
 * @param confidence two-sided, 0.95 by default
 * @throws RangeError for fewer than two values
 */
export function meanInterval(values: readonly number[], confidence = 0.95): MeanInterval {
  if (values.length < 2)
    throw new RangeError(`a mean of ${values.length} has no interval, at least 2 are needed`);
  const centre = mean(values);
  const error = standardDeviation(values) / Math.sqrt(values.length);
  const half = studentQuantile((1 + confidence) / 2, values.length - 1) * error;
  return { mean: centre, low: centre - half, high: centre + half };
}
