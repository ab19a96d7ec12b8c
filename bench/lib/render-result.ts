import type { BenchResult, FigureValue } from './bench.js';

/** Figures and checks as plain tables for people. */
export function renderResult(result: BenchResult): string {
  const sections = [
    renderRows(Object.entries(result.figures).flatMap(([name, value]) => figureLines(name, value))),
    renderRows(
      result.checks.map(({ name, found, wanted, passed }) => [
        passed ? 'ok' : 'FAILED',
        name,
        found,
        `(${wanted})`,
      ]),
    ),
  ];
  return sections.filter((section) => section !== '').join('\n\n');
}

/** One row for a plain value; lists of objects get one row an entry. */
function figureLines(name: string, value: FigureValue): string[][] {
  if (Array.isArray(value)) return value.map((entry, index) => [index === 0 ? name : '', inWords(entry)]);
  return [[name, inWords(value)]];
}

function inWords(value: FigureValue): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : value.toPrecision(4);
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return value.map(inWords).join(', ');
  return Object.entries(value)
    .map(([key, entry]) => `${key} ${inWords(entry)}`)
    .join('  ');
}

function renderRows(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
