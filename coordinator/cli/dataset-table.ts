import {
  type Dataset,
  type DatasetReport,
  type DatasetTask,
  type SplitName,
  splitNames,
} from '@fleetlora/shared/protocol';
import type { CliContext } from './context.js';
import { type Column, renderFields, renderTable } from './table.js';

/** Prompt and completion of a stored row. */
export interface SampleRow {
  readonly prompt: string;
  readonly completion: string;
}

/** Classes shown at each end of the list; shorter lists are shown whole. */
const SHOWN_CLASSES = 5;
const BAR_CELLS = 24;

const counted = new Intl.NumberFormat('en-US');
const formatCount = (value: number): string => counted.format(value);

/** One data set as people want to see it after an import: what is in it, and what to beware of. */
export function renderDataset(
  context: CliContext,
  dataset: Dataset,
  options: { readonly sample?: SampleRow | null; readonly allClasses?: boolean } = {},
): string {
  const { report } = dataset;
  const parts = [
    renderFields(context, [
      ['data', `${dataset.name}  ${dataset.id}`],
      ['rows', formatCount(dataset.rows)],
      ['task', describeTask(dataset.task)],
      ...(report?.labels ? [['classes', describeClasses(report)] as const] : []),
    ]),
    renderSplits(context, dataset),
  ];
  if (options.sample) parts.push(renderSample(context, options.sample));
  if (report?.labels)
    parts.push(renderClasses(context, report.labels, options.allClasses ? Infinity : SHOWN_CLASSES));
  const remarks = [
    ...(report?.warnings ?? []).map((warning) => `${context.colors.yellow('!')} ${warning}`),
    ...adviseSplits(dataset).map((advice) => `${context.colors.dim('·')} ${advice}`),
  ];
  if (remarks.length > 0) parts.push(remarks.join('\n'));
  return parts.join('\n\n');
}

/** Columns of `dataset list`. */
export const datasetColumns: readonly Column<Dataset>[] = [
  { title: 'name', value: (row) => row.name },
  { title: 'rows', align: 'right', value: (row) => formatCount(row.rows) },
  { title: 'splits', value: (row) => describeSplits(row) },
  { title: 'task', value: (row) => describeScorer(row.task) },
  { title: 'classes', align: 'right', value: (row) => row.report?.labels?.length },
  { title: 'warnings', align: 'right', value: (row) => row.report?.warnings.length },
  { title: 'id', value: (row) => row.id },
];

function describeSplits({ splits }: Dataset): string {
  const present = splitNames.flatMap((name) => {
    const split = splits[name];
    return split ? [`${name} ${formatCount(split.rows)}`] : [];
  });
  return present.join(', ');
}

function describeTask(task: DatasetTask): string {
  if (task.kind === 'completion') return 'completion: right when the whole completion is the likeliest text';
  return `generation: writes up to ${task.maxNewTokens} tokens, judged by ${describeScorer(task)}`;
}

function describeScorer(task: DatasetTask): string {
  if (task.kind === 'completion') return 'completion';
  switch (task.scorer.kind) {
    case 'exactMatch':
      return task.scorer.ignoreCase ? 'exact match, case aside' : 'exact match';
    case 'regex':
      return `last match of ${task.scorer.pattern}`;
    case 'module':
      return `module ${task.scorer.digest.slice(0, 12)}`;
  }
}

function describeClasses({ labels, imbalance }: DatasetReport): string {
  const [largest, smallest] = [labels?.[0], labels?.at(-1)];
  if (!labels || !largest || !smallest) return '0';
  const spread =
    largest.rows === smallest.rows
      ? `${formatCount(largest.rows)} ${largest.rows === 1 ? 'row' : 'rows'} each`
      : `from ${formatCount(smallest.rows)} to ${formatCount(largest.rows)} rows, ${(imbalance ?? 1).toFixed(1)} to 1`;
  return `${formatCount(labels.length)}, ${spread}`;
}

/** What the rest of the product does with each split. */
function usesOf(split: SplitName, { splits }: Dataset): string {
  switch (split) {
    case 'all':
      return 'training, comparing candidates, final scores';
    case 'train':
      return 'training';
    case 'validation':
      return splits.test ? 'comparing candidates' : 'comparing candidates, final scores';
    case 'test':
      return splits.validation ? 'final scores' : 'comparing candidates, final scores';
  }
}

function renderSplits(context: CliContext, dataset: Dataset): string {
  const rows = splitNames.flatMap((name) => {
    const split = dataset.splits[name];
    return split ? [{ name, ...split }] : [];
  });
  return renderTable(
    context,
    [
      { title: 'split', value: ({ name }) => name },
      { title: 'rows', align: 'right', value: (split) => formatCount(split.rows) },
      {
        title: 'share',
        align: 'right',
        value: (split) => `${((100 * split.rows) / Math.max(1, dataset.rows)).toFixed(1)} %`,
      },
      { title: 'used for', value: ({ name }) => usesOf(name, dataset) },
    ],
    rows,
    'no splits',
  );
}

/** Sentences about splits that are missing; they are no fault of the data. */
function adviseSplits({ splits }: Dataset): string[] {
  if (splits.all) return ['not split: train on other rows than these, or import them with --split 80/10/10'];
  if (!splits.validation && !splits.test)
    return ['no rows to score on: searches need a validation or a test split'];
  if (!splits.validation)
    return [
      'no validation split: candidates are compared on part of the test rows, and scored at last on others',
    ];
  if (!splits.test)
    return ['no test split: final scores are taken on validation rows that comparing left over'];
  return [];
}

/** The first row exactly as the model sees it: templates are where most goes wrong. */
function renderSample(context: CliContext, { prompt, completion }: SampleRow): string {
  const width = Math.max(48, Math.min(context.stdout.columns ?? 100, 140) - 14);
  return `${context.colors.dim('first row, as the model sees it')}\n${renderFields(context, [
    ['  prompt', quote(prompt, width)],
    ['  completion', context.colors.green(quote(completion, width))],
  ])}`;
}

/** A text in quotes with its line breaks visible, shortened in its middle: both ends tell. */
function quote(text: string, width: number): string {
  const quoted = JSON.stringify(text);
  if (quoted.length <= width) return quoted;
  const tail = Math.floor(width / 3);
  return `${quoted.slice(0, width - tail - 1)}…${quoted.slice(-tail)}`;
}

function renderClasses(
  context: CliContext,
  labels: NonNullable<DatasetReport['labels']>,
  shown: number,
): string {
  const most = labels[0]?.rows ?? 1;
  const whole = labels.length <= 2 * shown + 1;
  const rows = whole ? labels : [...labels.slice(0, shown), null, ...labels.slice(-shown)];
  return renderTable(
    context,
    [
      {
        title: 'class',
        value: (row) => row?.label ?? context.colors.dim(`… ${labels.length - 2 * shown} more`),
      },
      { title: 'rows', align: 'right', value: (row) => (row ? formatCount(row.rows) : ' ') },
      { title: '', value: (row) => (row ? context.colors.cyan(renderBar(row.rows / most)) : ' ') },
    ],
    rows,
    'no classes',
  );
}

/** A bar of up to BAR_CELLS characters in eighths. */
function renderBar(share: number): string {
  const eighths = Math.max(1, Math.round(share * BAR_CELLS * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8];
}
