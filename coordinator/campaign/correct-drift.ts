import type { DriftCorrection, Measurement } from '@fleetlora/shared/protocol';
import type { TrialJob } from './ports.js';
import type { SentinelBook } from './sentinel-book.js';

/**
 * What the latencies of a job's trials are divided by, so that they compare with those of other
 * times and devices; null where nothing is known of it.
 *
 * A candidate that was timed in turns with the sentinel would have taken its ratio times what the
 * reference took for the sentinel: the correction makes its median that. Those of its batch stand on
 * its figures and are corrected alike. Else the device's last sentinel before the job has to do,
 * which knows nothing of what came after it.
 * @param first the measurement of the job's first candidate
 */
export function correctionOf(
  job: TrialJob,
  first: Measurement | undefined,
  sentinels: Pick<SentinelBook, 'correctionOf' | 'reference'>,
): DriftCorrection | null {
  const byBook = sentinels.correctionOf(job);
  const reference = sentinels.reference();
  if (!first?.beside || reference === null) return byBook;
  const { beside } = first;
  const factor = (quantity: 'decode' | 'prefill'): number =>
    first[quantity].p50Ms / (beside[quantity].ratio * reference.figures[quantity].p50Ms);
  const factors = { decode: factor('decode'), prefill: factor('prefill') };
  if (!Object.values(factors).every((value) => Number.isFinite(value) && value > 0)) return byBook;
  return { ...factors, sentinelJobId: byBook?.sentinelJobId ?? reference.jobId, beside: true };
}
