import { binomialAtMost } from './binomial.js';
import { sorted } from './quantile.js';
import type { Interval } from './wilson-interval.js';

/**
 * An interval that holds the median of whatever the samples come from, or null when there are too
 * few for the confidence (below 6 at 95 %). Its ends are samples: the j-th smallest and j-th
 * largest, with the largest j that keeps P(fewer than j of n draws fall below the median) within
 * half of what may be missed.
 * @param confidence two-sided, 0.95 by default
 * @source W. R. Thompson, Ann. Math. Statist. 7 (1936) 122-128
 */
export function medianInterval(samples: readonly number[], confidence = 0.95): Interval | null {
  const missed = (1 - confidence) / 2;
  const n = samples.length;
  let outside = 0;
  while (2 * outside < n && binomialAtMost(outside, n, 0.5) <= missed) outside++;
  if (outside === 0) return null;
  const ascending = sorted(samples);
  return { low: ascending[outside - 1] as number, high: ascending[n - outside] as number };
}
