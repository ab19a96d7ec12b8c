import pc from 'picocolors';

interface Stream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Where commands write: data to stdout, talk to stderr. */
export interface Printer {
  /** `value` as JSON when asked to, else what `render` makes of it. */
  data<T>(json: boolean | undefined, value: T, render: (value: T) => string): void;
  /** One line beside the data. */
  say(text: string): void;
  /** Raw text to stdout, raw text to stderr: what commander prints. */
  out(text: string): void;
  err(text: string): void;
  readonly bold: (text: string) => string;
  /** Someone watches stderr: lines may be rewritten. */
  readonly isTerminal: boolean;
}

export function createPrinter(stdout: Stream, stderr: Stream): Printer {
  const colors = pc.createColors(stdout.isTTY === true && !process.env.NO_COLOR);
  return {
    data: (json, value, render) => {
      stdout.write(`${json ? JSON.stringify(value, null, 2) : render(value)}\n`);
    },
    say: (text) => {
      stderr.write(`${text}\n`);
    },
    out: (text) => {
      stdout.write(text);
    },
    err: (text) => {
      stderr.write(text);
    },
    bold: colors.bold,
    isTerminal: stderr.isTTY === true,
  };
}

/** Lines of "name   value", values in one column. */
export function pairs(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}   ${value}`).join('\n');
}

/** Rows of equal length in columns, the first one at least `firstWidth` wide. */
export function columns(rows: readonly (readonly string[])[], firstWidth = 0): string {
  const widths = rows.reduce<number[]>(
    (most, row) => row.map((cell, index) => Math.max(most[index] ?? 0, cell.length)),
    [firstWidth],
  );
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}
