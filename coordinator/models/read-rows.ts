import { noRows, parseRow, type TextRow } from '@fleetlora/shared/text';
import { readLines } from './read-text.js';

/**
 * Rows of a JSONL file of prompts and completions as a stream: other work gets its turn after every
 * 64 KiB, and no line longer than the ceiling is ever held.
 * @throws DATA_LINE naming the first line that does not fit, DATA_EMPTY when there is no row
 */
export async function* streamRowsFile(path: string): AsyncGenerator<TextRow> {
  let any = false;
  for await (const { first, lines } of readLines(path)) {
    for (const [index, line] of lines.entries()) {
      const row = parseRow(line, first + index);
      if (!row) continue;
      any = true;
      yield row;
    }
  }
  if (!any) throw noRows();
}

/** The same rows together. @throws as streamRowsFile */
export async function readRowsFile(path: string): Promise<TextRow[]> {
  const rows: TextRow[] = [];
  for await (const row of streamRowsFile(path)) rows.push(row);
  return rows;
}
