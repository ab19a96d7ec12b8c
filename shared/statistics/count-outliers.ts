import { median } from './quantile.js';

/** What makes the MAD of a normal sample its standard deviation: 1 / (0.75 quantile). */
const MAD_TO_SIGMA = 1.4826;
/** What makes its mean absolute deviation that: √(π/2). */
const MEAN_DEVIATION_TO_SIGMA = 1.2533;
const FAR = 5;

/**
 * How many samples lie more than five scaled MADs from the median of their session.
 *
 * The scale is one for all sessions, from the distances of all samples to their session's median:
 * a session of three samples has none of its own. A session of odd size leaves out its middle
 * sample, whose distance is 0 by construction. Where more than half of the distances are 0 (a
 * coarse clock), their mean takes the place of their median.
 * @param sessions samples of each session; a session of one counts none
 * @source B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers (1993): modified z score
 */
export function countOutliers(sessions: readonly (readonly number[])[]): number {
  const distances = sessions.flatMap((samples) => distancesToMedian(samples));
  if (distances.length === 0) return 0;
  const mad = median(distances);
  const meanDeviation = distances.reduce((sum, distance) => sum + distance, 0) / distances.length;
  const sigma = mad > 0 ? MAD_TO_SIGMA * mad : MEAN_DEVIATION_TO_SIGMA * meanDeviation;
  return distances.filter((distance) => distance > FAR * sigma).length;
}

/** In ascending order, without the 0 of the middle sample. */
function distancesToMedian(samples: readonly number[]): number[] {
  if (samples.length < 2) return [];
  const middle = median(samples);
  const distances = samples.map((sample) => Math.abs(sample - middle)).sort((a, b) => a - b);
  return samples.length % 2 === 1 ? distances.slice(1) : distances;
}
