import type { DriftCorrection, Front, Score, Timing, Trial } from '@fleetlora/shared/protocol';
import { decodeGenome } from '@fleetlora/shared/space';
import type { CliContext } from './context.js';
import { describeGenome } from './describe-genome.js';
import { type Column, renderTable } from './table.js';

const rowTitles: Readonly<Record<string, string>> = {
  max: 'max unmerged',
  maxMerged: 'max merged',
  middle: 'middle',
  min: 'min',
};

/** The best known score: on all held-out rows when it was taken, else the cheap one. */
export function bestScore(trial: Trial): Score | null {
  return trial.finalScore ?? trial.score;
}

/** "71.3 [68.4, 74.0]": percent with the 95 % interval. */
export function formatAccuracy(score: Score | null): string | null {
  if (score === null) return null;
  return `${score.accuracy.toFixed(1)} [${score.accuracyLow.toFixed(1)}, ${score.accuracyHigh.toFixed(1)}]`;
}

const fixed = (value: number | undefined, digits: number): string | null =>
  value === undefined ? null : value.toFixed(digits);

const inKilo = (bytes: number | undefined): number | undefined =>
  bytes === undefined ? undefined : bytes / 1e3;
const inMega = (bytes: number | undefined): number | undefined =>
  bytes === undefined ? undefined : bytes / 1e6;

/**
 * "2.31 ±0.04": a median, as the reference device of its search would have it, and by how much it
 * may be off at 95 %.
 */
function formatTime(trial: Trial, quantity: 'decode' | 'prefill', digits: number): string | null {
  if (trial.measurement === null) return null;
  const { p50Ms, lowMs, highMs }: Timing = trial.measurement[quantity];
  const factor = trial.correction?.[quantity] ?? 1;
  const median = (p50Ms / factor).toFixed(digits);
  if (lowMs === undefined || highMs === undefined) return median;
  return `${median} ±${(Math.max(p50Ms - lowMs, highMs - p50Ms) / factor).toFixed(digits)}`;
}

/** "busy outliers ÷1.08": what to doubt, and what its times were divided by. */
function describeDoubts({ measurement, correction }: Trial, leftOut: readonly string[]): string {
  const flags = (measurement?.flags ?? []).filter((flag) => !leftOut.includes(flag));
  return [...flags, ...describeCorrection(correction)].join(' ');
}

function describeCorrection(correction: DriftCorrection | null): string[] {
  const factors = [correction?.decode ?? 1, correction?.prefill ?? 1].map((factor) => factor.toFixed(2));
  const [decode, prefill] = factors;
  if (factors.every((factor) => factor === '1.00')) return [];
  return [decode === prefill ? `÷${decode}` : `÷${decode}/${prefill}`];
}

/** Flags that every measured one of these trials has: told once, not in each row. */
export function sharedFlags(trials: readonly Trial[]): string[] {
  const measured = trials.flatMap(({ measurement }) => (measurement ? [measurement.flags ?? []] : []));
  const [first = [], ...others] = measured;
  return others.length === 0 ? [] : first.filter((flag) => others.every((flags) => flags.includes(flag)));
}

/** Columns of a table of these trials; the one of flags only where there are some. */
export function trialColumns(trials: readonly Trial[]): Column<Trial>[] {
  const shared = sharedFlags(trials);
  const flags: Column<Trial> = { title: 'flags', value: (trial) => describeDoubts(trial, shared) || null };
  return [
    { title: 'accuracy % [95 %]', align: 'right', value: (trial) => formatAccuracy(bestScore(trial)) },
    { title: 'loss nats', align: 'right', value: (trial) => fixed(bestScore(trial)?.loss, 3) },
    { title: 'ms/token p50', align: 'right', value: (trial) => formatTime(trial, 'decode', 2) },
    { title: 'TTFT ms', align: 'right', value: (trial) => formatTime(trial, 'prefill', 1) },
    {
      title: 'peak MB',
      align: 'right',
      value: (trial) => fixed(inMega(trial.measurement?.peakBytes), 1),
    },
    {
      title: 'KB shipped',
      align: 'right',
      value: (trial) => fixed(inKilo(trial.measurement?.shippedBytes), 0),
    },
    ...(trials.some((trial) => describeDoubts(trial, shared) !== '') ? [flags] : []),
    { title: 'form', value: (trial) => decodeGenome(trial.genome).form },
    { title: 'ranks, FFN widths', value: (trial) => describeGenome(trial.genome) },
  ];
}

/**
 * The front, best quality first, then the baselines; the chosen row is marked with an arrow. Below
 * it, what the reader should know before believing it.
 */
export function renderFront(context: CliContext, front: Front): string {
  const { chosenTrialId, baselines } = front;
  const named = new Map(baselines.map((trial) => [trial.id, trial]));
  const points = [...front.points].sort(
    (a, b) =>
      (bestScore(b)?.accuracy ?? 0) - (bestScore(a)?.accuracy ?? 0) ||
      (bestScore(a)?.loss ?? 0) - (bestScore(b)?.loss ?? 0) ||
      a.number - b.number,
  );
  const rows = [
    ...points.map((trial) => ({ trial, title: `#${trial.number}` })),
    ...baselines.map((trial) => ({
      trial,
      title: rowTitles[trial.label ?? ''] ?? trial.label ?? `#${trial.number}`,
    })),
  ];
  // A chosen point that is also a baseline stands in both parts; it is marked once.
  const chosenRow = rows.findIndex(({ trial }) => trial.id === chosenTrialId);
  const columns: Column<(typeof rows)[number]>[] = [
    { title: '', value: (_row, index) => (index === chosenRow ? context.colors.green('→') : ' ') },
    {
      title: 'trial',
      value: ({ trial, title }) => {
        const alsoNamed = title.startsWith('#') ? named.get(trial.id)?.label : null;
        return alsoNamed ? `${title} = ${rowTitles[alsoNamed] ?? alsoNamed}` : title;
      },
    },
    ...trialColumns(rows.map(({ trial }) => trial)).map((column) => ({
      ...column,
      value: (row: (typeof rows)[number], index: number) => column.value(row.trial, index),
    })),
  ];
  const table = renderTable(context, columns, rows, 'no trial is finished yet');
  const notices = front.notices.map((notice) => `${context.colors.yellow('!')} ${notice}`);
  return notices.length === 0 ? table : `${table}\n\n${notices.join('\n')}`;
}

/** Every trial of a search by number, with what to know of single ones. */
export function renderTrials(context: CliContext, trials: readonly Trial[]): string {
  const columns: Column<Trial>[] = [
    { title: '#', align: 'right', value: (row) => row.number },
    { title: 'state', value: (row) => row.state },
    ...trialColumns(trials),
    { title: 'note', value: (row) => row.reason ?? row.label ?? '' },
  ];
  const table = renderTable(context, columns, trials, 'no trial yet');
  const shared = sharedFlags(trials);
  return shared.length === 0
    ? table
    : `${table}\n\n${context.colors.yellow('!')} all measurements are flagged ${shared.join(', ')}`;
}
