import type { PercentDifference } from '../protocol/measurement.js';
import { type PairedShift, pairedShift } from './paired-shift.js';
import { median } from './quantile.js';

/** The widest that a message may carry: says that nothing is known. */
const UNKNOWN_PERCENT = 1e6;

/**
 * By how many percent of the reference's median a sample is above it, paired, with the 95 %
 * interval of `pairedShift`, in steps of 0.001 %. Of a single pair, or of a reference of 0,
 * nothing is known: an interval of ± 1,000,000 %.
 * @param samples and @param reference taken in the same rounds, in the same order
 * @throws RangeError for unequal lengths or none
 */
export function percentDifference(
  samples: readonly number[],
  reference: readonly number[],
  confidence = 0.95,
): PercentDifference {
  return percentOf(pairedShift(samples, reference, confidence), median(reference));
}

/** A shift in percent of `whole`, as `percentDifference` tells it. */
export function percentOf(
  { shift, low, high }: Pick<PairedShift, 'shift' | 'low' | 'high'>,
  whole: number,
): PercentDifference {
  if (!(whole > 0)) return { percent: 0, low: -UNKNOWN_PERCENT, high: UNKNOWN_PERCENT };
  const toPercent = (value: number): number => {
    const percent = Math.round((value / whole) * 100_000) / 1000;
    return Math.max(-UNKNOWN_PERCENT, Math.min(UNKNOWN_PERCENT, percent));
  };
  return { percent: toPercent(shift), low: toPercent(low), high: toPercent(high) };
}
