import { CodedError } from '@fleetlora/shared/errors';
import { formatMetric, isMaximised, type Metric, type MetricValues, metrics } from './metric.js';

/** A limit on one metric, absolute or relative to the full network's own figure. */
export interface Constraint {
  readonly metric: Metric;
  readonly bound: { readonly relativeTo: 'zero' | 'max'; readonly offset: number };
  /** As the person wrote it, without spaces. */
  readonly text: string;
}

const PATTERN = /^([A-Za-z]+)(>=|<=)(?:(max)(?:([+-])([0-9.]+)([A-Za-z%]*))?|([0-9.]+)([A-Za-z%]*))$/;
const NUMBER = /^(\d+(\.\d*)?|\.\d+)$/;
/** Equal but for rounding (74.3 - 1.0 is 73.3 within 1e-14) counts as met. */
const TOLERANCE = 1e-9;

const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};
const units: Readonly<Record<Metric, Readonly<Record<string, number>>>> = {
  accuracy: { '': 1, '%': 1 },
  loss: { '': 1 },
  decodeMs: { '': 1, ms: 1, s: 1000 },
  prefillMs: { '': 1, ms: 1, s: 1000 },
  peakBytes: byteUnits,
  shippedBytes: byteUnits,
};

/**
 * Parses `accuracy>=70`, `accuracy>=max-1.0`, `decodeMs<=3`, `peakBytes<=200MB`,
 * `shippedBytes<=max+10KB`. Spaces are ignored; MB is 10^6 bytes, MiB 2^20; accuracy is in percent.
 * @throws BAD_REQUEST naming the part that does not fit and what would
 */
export function parseConstraint(input: string): Constraint {
  const text = input.replace(/\s+/g, '');
  const match = PATTERN.exec(text);
  const wrong = (reason: string): CodedError =>
    new CodedError('BAD_REQUEST', `constraint "${input}": ${reason}`);
  if (!match)
    throw wrong('wanted METRIC>=BOUND or METRIC<=BOUND, for example accuracy>=max-1.0 or peakBytes<=200MB');
  const [, name, operator, relative, sign, deltaNumber, deltaUnit, plainNumber, plainUnit] = match;
  const metric = metrics.find((known) => known === name);
  if (!metric) throw wrong(`unknown metric "${name}", wanted one of ${metrics.join(', ')}`);
  const wanted = isMaximised(metric) ? '>=' : '<=';
  if (operator !== wanted) throw wrong(`${metric} takes ${wanted}, found ${operator}`);
  const amount = (digits: string | undefined, unit: string | undefined): number => {
    if (!NUMBER.test(digits ?? '')) throw wrong(`"${digits}" is not a number`);
    const factor = units[metric][unit ?? ''];
    if (factor === undefined)
      throw wrong(
        `unit "${unit}" does not fit ${metric}, wanted ${Object.keys(units[metric]).filter(Boolean).join(', ') || 'none'}`,
      );
    return Number(digits) * factor;
  };
  if (!relative)
    return { metric, text, bound: { relativeTo: 'zero', offset: amount(plainNumber, plainUnit) } };
  const delta = sign === undefined ? 0 : amount(deltaNumber, deltaUnit);
  return { metric, text, bound: { relativeTo: 'max', offset: sign === '-' ? -delta : delta } };
}

/** The limit in the metric's unit, or null when it is relative and the full network has no figure. */
export function limitOf(constraint: Constraint, max: Partial<MetricValues> | null): number | null {
  if (constraint.bound.relativeTo === 'zero') return constraint.bound.offset;
  const reference = max?.[constraint.metric];
  return reference === undefined ? null : reference + constraint.bound.offset;
}

/** Whether a point meets the constraint; a limit that cannot be known is met by none. */
export function meets(
  constraint: Constraint,
  values: MetricValues,
  max: Partial<MetricValues> | null,
): boolean {
  const limit = limitOf(constraint, max);
  if (limit === null) return false;
  const slack = TOLERANCE * Math.max(1, Math.abs(limit));
  const value = values[constraint.metric];
  return isMaximised(constraint.metric) ? value >= limit - slack : value <= limit + slack;
}

/** "accuracy >= 72.4 % (max-1.0)". */
export function describeConstraint(constraint: Constraint, max: Partial<MetricValues> | null): string {
  const { metric, bound, text } = constraint;
  const limit = limitOf(constraint, max);
  const operator = isMaximised(metric) ? '>=' : '<=';
  if (limit === null) return `${text} (the full network has no ${metric})`;
  const source = bound.relativeTo === 'max' ? ` (${text.slice(metric.length + 2)})` : '';
  return `${metric} ${operator} ${formatMetric(metric, limit)}${source}`;
}
