import type { Search, SearchStart, Trial } from '@fleetlora/shared/protocol';
import {
  type Choice,
  choosePoint,
  compareVectors,
  type Metric,
  type MetricValues,
  minimised,
  paretoFront,
  parseConstraint,
  spread,
} from '../search/index.js';
import { knownValuesOf, type ScoreStage, valuesOf } from './trial-values.js';

export interface FrontSummary<T extends Trial> {
  /** No point is worse than another in everything; lowest first cost first. */
  readonly points: readonly T[];
  /** Labelled trials in the order they were proposed. */
  readonly baselines: readonly T[];
  readonly choice: Choice;
}

/**
 * The front of a search's trials and the point to choose from it. Besides the objectives, the
 * front looks at every metric that a constraint names: so the best point that meets the
 * constraints is always a member.
 * @param stage trials without this score are left out
 */
export function summarizeFront<T extends Trial>(
  spec: SearchStart,
  trials: readonly T[],
  stage: ScoreStage,
): FrontSummary<T> {
  const constraints = spec.require.map(parseConstraint);
  const looked = [
    ...new Set<Metric>([spec.quality, ...spec.costs, ...constraints.map(({ metric }) => metric)]),
  ];
  const measured = trials.flatMap((trial) => {
    const values = trial.state === 'finished' ? valuesOf(trial, stage) : null;
    return values ? [{ id: trial.id, trial, values, vector: minimised(values, looked) }] : [];
  });
  const front = paretoFront(measured.map(({ vector }) => vector)).map(
    (index) => measured[index] as (typeof measured)[number],
  );
  front.sort((a, b) => compareVectors(inCostOrder(a.values, spec), inCostOrder(b.values, spec)));
  const baselines = trials.filter((trial) => trial.label !== null);
  // `max` and `maxMerged` are one network; either stands for it where the space has one form.
  const full =
    baselines.find((trial) => trial.label === 'max') ??
    baselines.find((trial) => trial.label === 'maxMerged');
  return {
    points: front.map(({ trial }) => trial),
    baselines,
    choice: choosePoint(front, {
      quality: spec.quality,
      costs: spec.costs,
      constraints,
      max: full ? knownValuesOf(full, stage) : null,
    }),
  };
}

/**
 * Trials that are worth held-out rows: all baselines, and at most `finalPoints` of the
 * front, spread over it, the point that would be chosen now among them.
 */
export function selectFinalists<T extends Trial>(spec: SearchStart, trials: readonly T[]): T[] {
  const { points, baselines, choice } = summarizeFront(spec, trials, 'score');
  // Baselines are scored anyway: they must not use up places of the front.
  const others = points.filter((trial) => trial.label === null);
  const vectors = others.map((trial) =>
    minimised(valuesOf(trial, 'score') as MetricValues, [spec.quality, ...spec.costs]),
  );
  const chosen = others.findIndex((trial) => trial.id === choice.id);
  const kept = spread(vectors, spec.finalPoints, new Set(chosen < 0 ? [] : [chosen]));
  return [...baselines, ...kept.map((index) => others[index] as T)];
}

/** Whether a search ends with scores on held-out rows. */
export function hasFinalRound(spec: SearchStart): boolean {
  return spec.finalRows > 0 && spec.finalPoints > 0;
}

/** The score by which a search in `state` reports its front. */
export function reportedStage(spec: SearchStart, state: Search['state']): ScoreStage {
  return state === 'finished' && hasFinalRound(spec) ? 'finalScore' : 'score';
}

const inCostOrder = (values: MetricValues, spec: SearchStart): number[] =>
  minimised(values, [...spec.costs, spec.quality]);
