import { type MeanInterval, meanInterval } from './mean-interval.js';
import { studentQuantile } from './normal-quantile.js';
import { mean, sorted, standardDeviation } from './quantile.js';

/** Left out at each end: the usual choice, of nearly a mean's precision where nothing is odd. */
const TRIMMED_SHARE = 0.2;

/**
 * The mean without the smallest and the largest fifth of the values, with Yuen's interval: what the
 * odd value does to a mean and to its interval it does not do to this. Below five values nothing is
 * left out, and it is the mean with its t interval.
 * @param confidence two-sided, 0.95 by default
 * @throws RangeError for fewer than two values
 * @source K. K. Yuen, Biometrika 61 (1974) 165-170; R. R. Wilcox, Introduction to Robust Estimation and
 *   Hypothesis Testing (2012), 4.3
 */
export function trimmedMeanInterval(values: readonly number[], confidence = 0.95): MeanInterval {
  const ascending = sorted(values);
  const cut = Math.floor(TRIMMED_SHARE * ascending.length);
  if (cut === 0) return meanInterval(values, confidence);
  const kept = ascending.slice(cut, ascending.length - cut);
  const [least, most] = [kept[0] as number, kept[kept.length - 1] as number];
  const winsorized = ascending.map((value) => Math.min(Math.max(value, least), most));
  const error =
    standardDeviation(winsorized) / ((1 - (2 * cut) / ascending.length) * Math.sqrt(ascending.length));
  const half = studentQuantile((1 + confidence) / 2, kept.length - 1) * error;
  const centre = mean(kept);
  return { mean: centre, low: centre - half, high: centre + half };
}
