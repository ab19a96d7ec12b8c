import { CodedError } from '../errors.js';

/** One example of a data set: after `prompt`, the model should say `completion` and stop. */
export interface TextRow {
  readonly prompt: string;
  readonly completion: string;
}

/** Characters one line may have: longer than any model's context, short enough to hold. */
export const maxLineCharacters = 1024 * 1024;

/** A DATA_LINE error about one line (counted from 1) of a data file. */
export function brokenLine(number: number, what: string, cause?: unknown): CodedError {
  return new CodedError('DATA_LINE', `line ${number} of the data file ${what}`, { cause });
}

/**
 * Parses one line of a JSONL file; null for a blank one.
 * @param wanted what the object should hold, for the message
 * @throws DATA_LINE naming the line when it is too long or no JSON object
 */
export function parseJsonObject(
  line: string,
  number: number,
  wanted: string,
): Readonly<Record<string, unknown>> | null {
  if (line.length > maxLineCharacters) throw lineTooLong(number, `has ${line.length}`);
  if (line.trim() === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw brokenLine(number, `is not JSON: ${line.slice(0, 60)}`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw brokenLine(number, `is ${line.slice(0, 60)}, wanted an object with ${wanted}`);
  return value as Record<string, unknown>;
}

export function lineTooLong(number: number, found: string): CodedError {
  return brokenLine(number, `${found} characters, at most ${maxLineCharacters} are allowed`);
}

/**
 * Parses one line of a JSONL file of prompts and completions; null for a blank one.
 * @param number of the line, counted from 1, for the message
 * @throws DATA_LINE naming the line and what is wrong with it
 */
export function parseRow(line: string, number: number): TextRow | null {
  const value = parseJsonObject(line, number, '"prompt" and "completion"');
  return value && toRow(value, number);
}

/** The prompt and the completion of a parsed line. @throws DATA_LINE when one is no text, or empty */
export function toRow(value: Readonly<Record<string, unknown>>, number: number): TextRow {
  const field = (name: 'prompt' | 'completion'): string => {
    const text = value[name];
    if (typeof text !== 'string' || text === '')
      throw brokenLine(
        number,
        `has "${name}": ${JSON.stringify(text)?.slice(0, 60)}, wanted a text that is not empty`,
      );
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
