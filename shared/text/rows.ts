import { CodedError } from '../errors.js';

/** One example of a data set: after `prompt`, the model should say `completion` and stop. */
export interface TextRow {
  readonly prompt: string;
  readonly completion: string;
}

/** Characters one line may have: longer than any model's context, short enough to hold. */
export const maxLineCharacters = 1024 * 1024;

/**
 * Parses one line of a JSONL data file; null for a blank one.
 * @param number of the line, counted from 1, for the message
 * @throws DATA_LINE naming the line and what is wrong with it
 */
export function parseRow(line: string, number: number): TextRow | null {
  const broken = (what: string, cause?: unknown): CodedError =>
    new CodedError('DATA_LINE', `line ${number} of the data file ${what}`, { cause });
  if (line.length > maxLineCharacters)
    throw broken(`has ${line.length} characters, at most ${maxLineCharacters} are allowed`);
  if (line.trim() === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw broken(`is not JSON: ${line.slice(0, 60)}`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw broken(`is ${line.slice(0, 60)}, wanted an object with "prompt" and "completion"`);
  const field = (name: 'prompt' | 'completion'): string => {
    const text = (value as Record<string, unknown>)[name];
    if (typeof text !== 'string' || text === '')
      throw broken(`has "${name}": ${JSON.stringify(text)?.slice(0, 60)}, wanted a text that is not empty`);
    return text;
  };
  return { prompt: field('prompt'), completion: field('completion') };
}

/**
 * All rows of a JSONL data file, blank lines left out.
 * @throws DATA_LINE naming the first line that does not fit, DATA_EMPTY when no row remains
 */
export function parseRows(text: string): TextRow[] {
  const rows: TextRow[] = [];
  const content = text.startsWith('\ufeff') ? text.slice(1) : text;
  content.split('\n').forEach((line, index) => {
    const row = parseRow(line, index + 1);
    if (row) rows.push(row);
  });
  if (rows.length === 0) throw noRows();
  return rows;
}

export function noRows(): CodedError {
  return new CodedError('DATA_EMPTY', 'data file has no rows, wanted lines of {"prompt", "completion"}');
}
