import type { Measurement, Score, Trial } from '@fleetlora/shared/protocol';
import type { MetricValues } from '../search/index.js';

/** Which rows a trial is judged on: the cheap sample of the search, or the held-out rows. */
export type ScoreStage = 'score' | 'finalScore';

/** A trial's figures, or null while a part is missing. Latencies are medians. */
export function valuesOf(trial: Trial, stage: ScoreStage): MetricValues | null {
  const quality = trial[stage];
  if (!quality || !trial.measurement) return null;
  return { ...qualityOf(quality), ...costOf(trial.measurement) };
}

/** As much of `valuesOf` as is known: a candidate that no device can run still has a quality. */
export function knownValuesOf(trial: Trial, stage: ScoreStage): Partial<MetricValues> {
  const quality = trial[stage];
  return { ...(quality && qualityOf(quality)), ...(trial.measurement && costOf(trial.measurement)) };
}

const qualityOf = (score: Score): Pick<MetricValues, 'accuracy' | 'loss'> => ({
  accuracy: score.accuracy,
  loss: score.loss,
});
const costOf = (measurement: Measurement): Omit<MetricValues, 'accuracy' | 'loss'> => ({
  decodeMs: measurement.decode.p50Ms,
  prefillMs: measurement.prefill.p50Ms,
  peakBytes: measurement.peakBytes,
  shippedBytes: measurement.shippedBytes,
});
