import type { Timing } from '../protocol/measurement.js';
import { countOutliers } from './count-outliers.js';
import { samplesNeeded } from './early-stopping.js';
import { meanInterval } from './mean-interval.js';
import { median, quantile } from './quantile.js';

const needed = { p50: samplesNeeded(0.5), p90: samplesNeeded(0.9), p99: samplesNeeded(0.99) };

/** Steps of 0.1 µs: finer than any clock is steady, and short to write. */
const rounded = (ms: number): number => Math.round(ms * 1e4) / 1e4;

/**
 * All that is told of one timed quantity.
 *
 * Samples are rounded to 0.1 µs first, so that every figure can be computed again from the stored
 * ones. The interval is the t interval of the session medians: each session carries a bias of its
 * own, which an interval from all samples would not see. Medians of few unequal sessions may
 * average to elsewhere than the median of all samples; the interval then reaches as far as that.
 * @param sessions raw samples in ms of each session, in the order taken
 * @param offsetMs added to percentiles, session medians and interval, not to the samples; no
 *   figure goes below 0 by it
 * @throws RangeError for no sessions or one without samples
 */
export function summarizeTiming(sessions: readonly (readonly number[])[], offsetMs = 0): Timing {
  const raw = sessions.map((samples) => samples.map(rounded));
  const samplesMs = raw.flat();
  const offset = rounded(offsetMs);
  const shifted = (ms: number): number => Math.max(0, rounded(ms + offset));
  const n = samplesMs.length;
  const p50Ms = shifted(quantile(samplesMs, 0.5));
  const sessionMediansMs = raw.map((samples) => shifted(median(samples)));
  const spreadMs = Math.max(...sessionMediansMs) - Math.min(...sessionMediansMs);
  return {
    p50Ms,
    p90Ms: shifted(quantile(samplesMs, 0.9)),
    p99Ms: shifted(quantile(samplesMs, 0.99)),
    established: { p50: n >= needed.p50, p90: n >= needed.p90, p99: n >= needed.p99 },
    n,
    samplesMs,
    sessionSizes: raw.map(({ length }) => length),
    sessionMediansMs,
    ...interval(sessionMediansMs, p50Ms),
    // Of a figure of 0 there are no percents.
    ...(p50Ms > 0 ? { spreadPercent: Math.min(1e8, Math.round((spreadMs / p50Ms) * 1e5) / 1e3) } : {}),
    outliers: countOutliers(raw),
    offsetMs: offset,
  };
}

function interval(mediansMs: readonly number[], p50Ms: number): Pick<Timing, 'lowMs' | 'highMs'> {
  if (mediansMs.length < 2) return {};
  const { low, high } = meanInterval(mediansMs);
  return { lowMs: rounded(Math.min(low, p50Ms)), highMs: rounded(Math.max(high, p50Ms)) };
}
