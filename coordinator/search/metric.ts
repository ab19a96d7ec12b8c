import {
  type CostObjective,
  costObjectives,
  type QualityObjective,
  qualityObjectives,
} from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';

/** Anything a trial is judged by. */
export type Metric = QualityObjective | CostObjective;
export const metrics: readonly Metric[] = [...qualityObjectives, ...costObjectives];

/** A trial's figures: accuracy in percent, loss in nats a token, milliseconds, bytes. */
export type MetricValues = Readonly<Record<Metric, number>>;

/** Accuracy is the one metric of which more is better. */
export function isMaximised(metric: Metric): boolean {
  return metric === 'accuracy';
}

/** The objectives of a trial as a vector in which smaller is better everywhere. */
export function minimised(values: MetricValues, objectives: readonly Metric[]): number[] {
  return objectives.map((metric) => (isMaximised(metric) ? -values[metric] : values[metric]));
}

/** "73.4 %", "0.212 nats", "2.31 ms", "61.2 MB". */
export function formatMetric(metric: Metric, value: number): string {
  if (metric === 'accuracy') return `${value.toFixed(1)} %`;
  if (metric === 'loss') return `${value.toFixed(3)} nats`;
  if (metric === 'peakBytes' || metric === 'shippedBytes') return formatBytes(value);
  return `${value.toFixed(2)} ms`;
}
