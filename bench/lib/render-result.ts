import type { BenchResult, FigureValue } from './bench.js';

/** Figures and checks as plain tables for people. */
export function renderResult(result: BenchResult): string {
  const figures = Object.entries(result.figures);
  const plain = figures.filter(([, value]) => !isTable(value));
  const sections = [
    renderRows(plain.flatMap(([name, value]) => figureLines(name, value))),
    ...figures.flatMap(([, value]) => (isTable(value) ? [renderTable(value)] : [])),
    ...(result.table ? [renderRows([result.table.columns, ...result.table.rows])] : []),
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

type TableRow = { readonly [name: string]: FigureValue };

/** Two or more objects of the same fields. */
function isTable(value: FigureValue): value is readonly TableRow[] {
  if (!Array.isArray(value) || value.length < 2) return false;
  const fields = value.map((row) =>
    typeof row === 'object' && row !== null && !Array.isArray(row) ? Object.keys(row).join(' ') : '',
  );
  return fields[0] !== '' && fields.every((names) => names === fields[0]);
}

/** A heading, then one row an entry; camelCase names become words. */
function renderTable(rows: readonly TableRow[]): string {
  const names = Object.keys(rows[0] ?? {});
  const heading = names.map((name) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
  return renderRows([heading, ...rows.map((row) => names.map((name) => inWords(row[name] as FigureValue)))]);
}

/** One row for a plain value; a list gets one row an entry. */
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
