import { createReadStream } from 'node:fs';
import { CodedError } from '@fleetlora/shared/errors';
import { maxLineCharacters, noRows, parseRow, type TextRow } from '@fleetlora/shared/text';

/**
 * Rows of a JSONL file, read as a stream: other work gets its turn after every 64 KiB, and no
 * line longer than the ceiling is ever held. Only a line feed ends a line: JSON texts may hold
 * the other Unicode line separators.
 * @throws DATA_LINE naming the first line that does not fit, DATA_EMPTY when there is no row
 */
export async function readRowsFile(path: string): Promise<TextRow[]> {
  const rows: TextRow[] = [];
  let rest = '';
  let number = 0;
  const take = (line: string): void => {
    number++;
    const row = parseRow(number === 1 && line.startsWith('\ufeff') ? line.slice(1) : line, number);
    if (row) rows.push(row);
  };
  for await (const chunk of createReadStream(path, 'utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
    if (rest.length > maxLineCharacters)
      throw new CodedError(
        'DATA_LINE',
        `line ${number + 1} of the data file is longer than ${maxLineCharacters} characters`,
      );
  }
  take(rest);
  if (rows.length === 0) throw noRows();
  return rows;
}
