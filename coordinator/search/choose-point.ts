import type { CostObjective, QualityObjective } from '@fleetlora/shared/protocol';
import { type Constraint, describeConstraint, limitOf, meets } from './constraint.js';
import { formatMetric, type Metric, type MetricValues, minimised } from './metric.js';
import { compareVectors } from './pareto.js';

export interface Point {
  readonly id: string;
  readonly values: MetricValues;
}
export interface Choice {
  /** Null when no point meets every constraint. */
  readonly id: string | null;
  /** The reason in a sentence for people. */
  readonly reason: string;
}

/**
 * The point to release: of the points that meet every constraint the one that is lowest in the
 * first cost, ties broken by the other costs, then by quality, then by order. Without a
 * constraint nothing says how much quality a saving is worth, so the best quality is chosen.
 * @param max figures of the full network, that relative constraints refer to
 */
export function choosePoint(
  points: readonly Point[],
  options: {
    readonly quality: QualityObjective;
    readonly costs: readonly CostObjective[];
    readonly constraints: readonly Constraint[];
    readonly max: Partial<MetricValues> | null;
  },
): Choice {
  const { quality, costs, constraints, max } = options;
  if (points.length === 0) return { id: null, reason: 'no candidate was measured and scored' };
  const best = (among: readonly Point[], order: readonly Metric[]): Point =>
    among.reduce((leader, point) =>
      compareVectors(minimised(point.values, order), minimised(leader.values, order)) < 0 ? point : leader,
    );
  if (constraints.length === 0) {
    const point = best(points, [quality, ...costs]);
    return {
      id: point.id,
      reason: `best ${quality} (${formatMetric(quality, point.values[quality])}) of ${count(points.length)}; no constraint was given`,
    };
  }
  const limits = constraints.map((constraint) => describeConstraint(constraint, max)).join(' and ');
  const meeting = points.filter((point) =>
    constraints.every((constraint) => meets(constraint, point.values, max)),
  );
  if (meeting.length > 0) {
    const point = best(meeting, [...costs, quality]);
    const [first] = costs as [CostObjective];
    const verb = meeting.length === 1 ? 'meets' : 'meet';
    return {
      id: point.id,
      reason: `lowest ${first} (${formatMetric(first, point.values[first])}) of the ${meeting.length} of ${count(points.length)} that ${verb} ${limits}`,
    };
  }
  return {
    id: null,
    reason: `none of ${count(points.length)} meets ${limits}${nearest(points, constraints, max)}`,
  };
}

const count = (points: number): string => (points === 1 ? '1 point' : `${points} points`);

/** How near the points came to the first constraint that not one of them meets. */
function nearest(
  points: readonly Point[],
  constraints: readonly Constraint[],
  max: Partial<MetricValues> | null,
): string {
  const unmet = constraints.find(
    (constraint) => !points.some((point) => meets(constraint, point.values, max)),
  );
  if (!unmet) return '; each limit alone is met by some';
  if (limitOf(unmet, max) === null) return '';
  const order = (point: Point): number[] => minimised(point.values, [unmet.metric]);
  const closest = points.reduce((a, b) => (compareVectors(order(b), order(a)) < 0 ? b : a));
  return `; the nearest has ${unmet.metric} ${formatMetric(unmet.metric, closest.values[unmet.metric])}`;
}
