import { quantile } from './quantile.js';
import { trimmedMeanInterval } from './trimmed-mean.js';
import type { Interval } from './wilson-interval.js';

export interface SessionRatio extends Partial<Interval> {
  readonly ratio: number;
}

/** What disturbs a run only makes it longer: the faster half of the samples is the less disturbed one. */
const UNDISTURBED = 0.25;

/**
 * What share of the reference's time the samples took: the trimmed geometric mean over sessions of the
 * ratio of the lower quartiles, with Yuen's interval of its logarithm; no interval below two sessions.
 *
 * A session's bias is a share of its time, not a number of milliseconds, and so is what a machine
 * that slows down adds to both: in logarithms both are differences of one size.
 * @param samples [sessions][samples] in ms, and @param reference the same, taken in turns with them
 * @param confidence two-sided, 0.95 by default
 * @throws RangeError for unequal numbers of sessions, none, one without samples, or a quartile of 0
 */
export function sessionRatio(
  samples: readonly (readonly number[])[],
  reference: readonly (readonly number[])[],
  confidence = 0.95,
): SessionRatio {
  if (samples.length !== reference.length || samples.length === 0)
    throw new RangeError(
      `${samples.length} sessions are set against ${reference.length}, wanted as many, at least 1`,
    );
  const logarithms = samples.map((session, index) => {
    const [own, other] = [quantile(session, UNDISTURBED), quantile(reference[index] ?? [], UNDISTURBED)];
    if (!(own > 0 && other > 0))
      throw new RangeError(`quartiles of ${own} and ${other} ms have no ratio, both must be above 0`);
    return Math.log(own / other);
  });
  if (logarithms.length === 1) return { ratio: Math.exp(logarithms[0] as number) };
  const { mean, low, high } = trimmedMeanInterval(logarithms, confidence);
  return { ratio: Math.exp(mean), low: Math.exp(low), high: Math.exp(high) };
}
