import type { Front, Score, Trial } from '@fleetlora/shared/protocol';
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

/** Columns of every table of trials. */
export function trialColumns(): Column<Trial>[] {
  return [
    { title: 'accuracy % [95 %]', align: 'right', value: (trial) => formatAccuracy(bestScore(trial)) },
    { title: 'loss nats', align: 'right', value: (trial) => fixed(bestScore(trial)?.loss, 3) },
    { title: 'ms/token p50', align: 'right', value: (trial) => fixed(trial.measurement?.decode.p50Ms, 2) },
    { title: 'TTFT ms', align: 'right', value: (trial) => fixed(trial.measurement?.prefill.p50Ms, 1) },
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
    ...trialColumns().map((column) => ({
      ...column,
      value: (row: (typeof rows)[number], index: number) => column.value(row.trial, index),
    })),
  ];
  const table = renderTable(context, columns, rows, 'no trial is finished yet');
  const notices = front.notices.map((notice) => `${context.colors.yellow('!')} ${notice}`);
  return notices.length === 0 ? table : `${table}\n\n${notices.join('\n')}`;
}
