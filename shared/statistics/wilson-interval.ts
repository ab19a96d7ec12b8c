import { normalQuantile } from './normal-quantile.js';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson's score interval of a share: never leaves [0, 1] and stays honest near its ends.
 * @param confidence two-sided, 0.95 by default
 * @throws RangeError unless 0 <= successes <= trials and trials > 0
 * @source E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212
 */
export function wilsonInterval(successes: number, trials: number, confidence = 0.95): Interval {
  if (!(trials > 0 && successes >= 0 && successes <= trials))
    throw new RangeError(`${successes} successes of ${trials} trials is not a share`);
  const z = normalQuantile((1 + confidence) / 2);
  const share = successes / trials;
  const denominator = 1 + (z * z) / trials;
  const centre = (share + (z * z) / (2 * trials)) / denominator;
  const half =
    (z / denominator) * Math.sqrt((share * (1 - share)) / trials + (z * z) / (4 * trials * trials));
  // At 0 and at all successes the ends are exactly 0 and 1; rounding must not move them.
  return {
    low: successes === 0 ? 0 : Math.max(0, centre - half),
    high: successes === trials ? 1 : Math.min(1, centre + half),
  };
}
