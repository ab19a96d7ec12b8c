import type { PercentDifference, TrialComparison } from '@fleetlora/shared/protocol';
import type { CliContext } from './context.js';
import { trialColumns } from './front-table.js';
import { renderFields, renderTable } from './table.js';

/** Two trials below each other, then what the second costs more or less, then what to know. */
export function renderComparison(
  context: CliContext,
  comparison: TrialComparison,
  names: readonly [string, string],
): string {
  const { a, b, paired, decode, prefill, peakBytesPercent, shippedBytesPercent, notices } = comparison;
  const rows = [
    { name: names[0], trial: a },
    { name: names[1], trial: b },
  ];
  const table = renderTable(
    context,
    [
      { title: 'trial', value: ({ name }) => name },
      ...trialColumns([a, b]).map((column) => ({
        ...column,
        value: (row: (typeof rows)[number], index: number) => column.value(row.trial, index),
      })),
    ],
    rows,
    '',
  );
  const fields = renderFields(context, [
    ['ms/token', describeDifference(decode)],
    ['TTFT', describeDifference(prefill)],
    ['peak', formatPercent(peakBytesPercent)],
    ['shipped', formatPercent(shippedBytesPercent)],
    ['by', paired ? 'rounds of one batch' : 'medians of sessions'],
  ]);
  const lines = notices.map((notice) => `${context.colors.yellow('!')} ${notice}`);
  return [table, `${names[1]} against ${names[0]}:\n${fields}`, lines.join('\n')]
    .filter(Boolean)
    .join('\n\n');
}

/** "-4.31 % [-4.62, -4.02]", "+0.52 % [-0.31, +1.20], not told apart". */
function describeDifference({ percent, low, high }: PercentDifference): string {
  const interval = `${formatPercent(percent)} [${signed(low)}, ${signed(high)}]`;
  return low <= 0 && high >= 0 ? `${interval}, not told apart` : interval;
}

const formatPercent = (percent: number): string => `${signed(percent)} %`;
const signed = (value: number): string => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(2)}`;
