import { pipeline } from 'node:stream';
import { CodedError } from '@fleetlora/shared/errors';
import type { DatasetImport } from '@fleetlora/shared/protocol';
import { brokenLine, maxLineCharacters, parseJsonObject } from '@fleetlora/shared/text';
import { CsvError, type Info, parse } from 'csv-parse';
import { readLines, readText } from './read-text.js';

export type DataFormat = NonNullable<DatasetImport['format']>;

/** One row of a data file before it becomes a prompt and a completion. */
export interface DataRecord {
  /** Where it starts, counted from 1. */
  readonly line: number;
  /** Its values by column: texts of a CSV line, any JSON of a JSON line. */
  readonly values: ReadonlyMap<string, unknown>;
}

/** Columns of a CSV file: a table made for people has dozens, an export of features hundreds. */
export const maxColumns = 1024;

/** Field separators that spreadsheets write; the one that the header has most often is taken. */
const SEPARATORS = [',', ';', '\t'] as const;

/**
 * The format a file seems to have: `jsonl` when its first line that is not blank begins an object.
 * @throws DATA_EMPTY when all lines are blank, DATA_LINE when the file is one JSON array
 */
export async function detectFormat(path: string): Promise<DataFormat> {
  for await (const { first, lines } of readLines(path)) {
    for (const [index, line] of lines.entries()) {
      const start = line.trim();
      if (/^\[\s*(\{|$)/.test(start))
        throw brokenLine(first + index, 'begins a JSON array, wanted one object a line (JSONL), or CSV');
      if (start !== '') return start.startsWith('{') ? 'jsonl' : 'csv';
    }
  }
  throw new CodedError('DATA_EMPTY', 'data file has no rows: it is blank');
}

/** Rows of a file as a stream, blank lines left out. @throws DATA_LINE naming the line that does not fit */
export function readRecords(path: string, format: DataFormat): AsyncGenerator<DataRecord> {
  return format === 'csv' ? readCsv(path) : readJsonLines(path);
}

async function* readJsonLines(path: string): AsyncGenerator<DataRecord> {
  for await (const { first, lines } of readLines(path)) {
    for (const [index, text] of lines.entries()) {
      const value = parseJsonObject(text, first + index, 'the columns of a row');
      if (value) yield { line: first + index, values: new Map(Object.entries(value)) };
    }
  }
}

/** RFC 4180 with a header: quoted fields may hold separators, doubled quotes and line ends. */
async function* readCsv(path: string): AsyncGenerator<DataRecord> {
  const parser = parse({
    delimiter: await detectSeparator(path),
    record_delimiter: ['\r\n', '\n', '\r'],
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: maxLineCharacters,
    info: true,
  });
  // What goes wrong in the source ends the iteration below with its error.
  pipeline(readText(path), parser, () => undefined);
  let header: readonly string[] | null = null;
  let ended = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: Info }>) {
      const line = info.lines - countLineFeeds(record);
      ended = info.lines;
      if (header === null) {
        header = checkHeader(record, line);
        continue;
      }
      if (record.length !== header.length)
        throw brokenLine(
          line,
          `has ${record.length} ${record.length === 1 ? 'field' : 'fields'}, the header has ${header.length}: ${header.join(', ')}`,
        );
      const names = header;
      yield { line, values: new Map(record.map((field, index) => [names[index] as string, field])) };
    }
  } catch (error) {
    throw error instanceof CsvError ? explainCsv(error, ended + 1) : error;
  }
}

async function detectSeparator(path: string): Promise<string> {
  for await (const { lines } of readLines(path)) {
    const header = lines.find((line) => line.trim() !== '');
    if (header === undefined) continue;
    const bare = header.replace(/"(?:[^"]|"")*"/g, '');
    const counts = SEPARATORS.map((separator) => bare.split(separator).length);
    return SEPARATORS[counts.indexOf(Math.max(...counts))] as string;
  }
  return ',';
}

function checkHeader(fields: readonly string[], line: number): string[] {
  if (fields.length > maxColumns)
    throw brokenLine(line, `has ${fields.length} columns, at most ${maxColumns} are allowed`);
  const names = fields.map((field) => field.trim());
  const twice = names.find((name, index) => name !== '' && names.indexOf(name) < index);
  if (twice !== undefined) throw brokenLine(line, `names the column "${twice}" twice`);
  return names;
}

/** @param startLine where the record that could not be read starts */
function explainCsv(error: CsvError, startLine: number): CodedError {
  switch (error.code) {
    case 'CSV_MAX_RECORD_SIZE':
      return brokenLine(
        startLine,
        `starts a row of more than ${maxLineCharacters} characters; is a closing quote missing?`,
        error,
      );
    case 'CSV_QUOTE_NOT_CLOSED':
      return brokenLine(startLine, 'or one after it opens a quote that is never closed', error);
    case 'INVALID_OPENING_QUOTE':
    case 'CSV_INVALID_CLOSING_QUOTE':
      return brokenLine(
        Number(error.lines ?? startLine),
        'has a quote inside a field; write the field in quotes and double the ones inside',
        error,
      );
    default:
      return brokenLine(startLine, `is not CSV: ${error.message}`, error);
  }
}

function countLineFeeds(fields: readonly string[]): number {
  let count = 0;
  for (const field of fields) {
    if (field.includes('\n')) count += field.split('\n').length - 1;
  }
  return count;
}
