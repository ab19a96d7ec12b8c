import { type MeanInterval, meanInterval } from './mean-interval.js';

/** `mean` is that of a[i] - b[i]. */
export interface PairedDifference extends MeanInterval {
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
  return { ...meanInterval(differences, confidence), pairs: a.length };
}
