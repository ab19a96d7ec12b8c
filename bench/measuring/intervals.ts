import type { PercentDifference } from '@fleetlora/shared/protocol';
import { mean, median, standardDeviation, studentQuantile } from '@fleetlora/shared/statistics';

/**
 * By how many percent one sample's mean is above another's that was taken apart from it, with the
 * 95 % interval of Welch's t test. What one would do without shared sessions.
 * @source B. L. Welch, Biometrika 34 (1947) 28-35
 */
export function unpairedDifference(
  samples: readonly number[],
  reference: readonly number[],
): PercentDifference {
  const errors = [samples, reference].map((values) => standardDeviation(values) ** 2 / values.length);
  const [a = 0, b = 0] = errors;
  const freedom = (a + b) ** 2 / (a ** 2 / (samples.length - 1) + b ** 2 / (reference.length - 1));
  const half = studentQuantile(0.975, Math.max(1, Math.floor(freedom))) * Math.sqrt(a + b);
  const difference = mean(samples) - mean(reference);
  const percent = (value: number): number => (100 * value) / median(reference);
  return {
    percent: percent(difference),
    low: percent(difference - half),
    high: percent(difference + half),
  };
}

/** Whether a difference is established: its interval leaves out 0. */
export const toldApart = ({ low, high }: PercentDifference): boolean => low > 0 || high < 0;

/** How many of the differences are established. */
export const countToldApart = (differences: readonly PercentDifference[]): number =>
  differences.filter(toldApart).length;

/** How many are established and have the right sign. */
export const countFound = (differences: readonly PercentDifference[]): number =>
  differences.filter(({ low }) => low > 0).length;

/** Share of the intervals that hold the true difference. */
export const coverage = (differences: readonly PercentDifference[], truePercent: number): number =>
  differences.filter(({ low, high }) => low <= truePercent && truePercent <= high).length /
  differences.length;

/** Median of half the width of the intervals, in percent. */
export const halfWidth = (differences: readonly PercentDifference[]): number =>
  median(differences.map(({ low, high }) => (high - low) / 2));
