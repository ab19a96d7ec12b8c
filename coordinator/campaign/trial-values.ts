import type { Score, Trial } from '@fleetlora/shared/protocol';
import type { MetricValues } from '../search/index.js';

/** Which rows a trial is judged on: the cheap sample of the search, or the held-out rows. */
export type ScoreStage = 'score' | 'finalScore';

/**
 * A trial's figures, or null while a part is missing. Latencies are medians, as the device of the
 * search's reference sentinel would have them.
 */
export function valuesOf(trial: Trial, stage: ScoreStage): MetricValues | null {
  const quality = trial[stage];
  const cost = costOf(trial);
  return quality && cost && { ...qualityOf(quality), ...cost };
}

/** As much of `valuesOf` as is known: a candidate that no device can run still has a quality. */
export function knownValuesOf(trial: Trial, stage: ScoreStage): Partial<MetricValues> {
  const quality = trial[stage];
  return { ...(quality && qualityOf(quality)), ...costOf(trial) };
}

const qualityOf = (score: Score): Pick<MetricValues, 'accuracy' | 'loss'> => ({
  accuracy: score.accuracy,
  loss: score.loss,
});
const costOf = ({ measurement, correction }: Trial): Omit<MetricValues, 'accuracy' | 'loss'> | null =>
  measurement && {
    decodeMs: measurement.decode.p50Ms / (correction?.decode ?? 1),
    prefillMs: measurement.prefill.p50Ms / (correction?.prefill ?? 1),
    peakBytes: measurement.peakBytes,
    shippedBytes: measurement.shippedBytes,
  };
