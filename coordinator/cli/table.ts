import Table from 'cli-table3';
import type { CliContext } from './context.js';

export interface Column<T> {
  /** Heading, unit included: "TTFT ms". */
  readonly title: string;
  readonly align?: 'left' | 'right';
  readonly value: (row: T, index: number) => string | number | null | undefined;
}

const noBorders = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Rows as a table without borders, headings dimmed; `empty` when there are none. */
export function renderTable<T>(
  context: CliContext,
  columns: readonly Column<T>[],
  rows: readonly T[],
  empty: string,
): string {
  if (rows.length === 0) return empty;
  const table = new Table({
    head: columns.map((column) => context.colors.dim(column.title)),
    colAligns: columns.map((column) => column.align ?? 'left'),
    chars: noBorders,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const [index, row] of rows.entries())
    table.push(columns.map((column) => String(column.value(row, index) ?? '-')));
  return trimLines(table.toString());
}

/** Names and values below each other, for one thing shown in detail. */
export function renderFields(
  context: CliContext,
  fields: readonly (readonly [string, string | number | null])[],
): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields
    .map(([name, value]) => `${context.colors.dim(name.padEnd(width))}  ${value ?? '-'}`)
    .join('\n');
}

const trimLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
