import { CodedError } from '@fleetlora/shared/errors';
import type { DatasetImport } from '@fleetlora/shared/protocol';
import {
  brokenLine,
  columnAsWords,
  parseTemplate,
  type TextRow,
  type TextTemplate,
  toRow,
} from '@fleetlora/shared/text';
import type { DataRecord } from './read-records.js';

/** A row as it is stored, and its class where the import names a column of classes. */
export interface LabelledRow extends TextRow {
  readonly label: string | null;
  /** A column of its prompt that is blank; the rest of the template still makes a prompt. */
  readonly blankColumn?: string | undefined;
}

/** Makes rows of records. @throws DATA_LINE, or DATA_COLUMN for a column that the first record lacks */
export type MakeRow = (record: DataRecord) => LabelledRow;

/**
 * What an import's templates and label column make of a record. Without templates the record must
 * hold "prompt" and "completion".
 * @throws BAD_REQUEST when a template is broken, or nothing says what the model should answer
 */
export function createRowMaker(request: Templates): MakeRow {
  const { promptTemplate, completionTemplate, labelColumn } = request;
  const labelOf = (record: DataRecord): string | null =>
    labelColumn === undefined ? null : readLabel(record, labelColumn);
  if (promptTemplate === undefined) {
    if (completionTemplate !== undefined)
      throw new CodedError(
        'BAD_REQUEST',
        'a completion template was given, wanted a prompt template with it',
      );
    return (record) => {
      for (const column of ['prompt', 'completion'])
        requireColumn(record, column, 'a row without templates needs the columns "prompt" and "completion"');
      return { ...toRow(Object.fromEntries(record.values), record.line), label: labelOf(record) };
    };
  }
  const completion = readCompletionTemplate(request);
  if (completion === null)
    throw new CodedError(
      'BAD_REQUEST',
      'a prompt template was given, wanted a completion template or a label column with it: what should the model answer?',
    );
  const prompt = parseTemplate(promptTemplate, 'prompt template');
  const fill = (record: DataRecord, template: TextTemplate, what: 'prompt' | 'completion'): string => {
    for (const column of template.columns)
      requireColumn(record, column, `the ${what} template names the column "${column}"`);
    const text = template.render((column) => readText(record, column));
    if (text.trim() === '') throw brokenLine(record.line, `makes an empty ${what}`);
    return text;
  };
  return (record) => {
    // First, so that an empty class is named as what it is and not as an empty completion.
    const label = labelOf(record);
    return {
      prompt: fill(record, prompt, 'prompt'),
      completion: fill(record, completion, 'completion'),
      label,
      blankColumn: prompt.columns.find((column) => readText(record, column).trim() === ''),
    };
  };
}

type Templates = Pick<DatasetImport, 'promptTemplate' | 'completionTemplate' | 'labelColumn'>;

/** The completion's template, by default the class after a space; null when nothing says it. */
function readCompletionTemplate({ completionTemplate, labelColumn }: Templates): TextTemplate | null {
  if (completionTemplate !== undefined) return parseTemplate(completionTemplate, 'completion template');
  return labelColumn === undefined ? null : columnAsWords(labelColumn, ' ');
}

/**
 * Sentences about the seam between prompt and completion. Tokenizers make one token of a space and
 * the word after it, so a space belongs to the completion; missing or in the prompt, the model has
 * to continue with tokens that running text never has there.
 */
export function warnOfSeam({
  promptTemplate: prompt,
  completionTemplate: answer = ' ',
}: Templates): string[] {
  if (prompt === undefined) return [];
  const example = answer.trim() === '' ? '' : `: ${JSON.stringify(` ${answer.trimStart()}`)}`;
  if (/[ \t]$/.test(prompt))
    return [
      `the prompt template ends with a space, which tokenizers join to the next word: leave it out, and begin the completion template with a space${example}`,
    ];
  if (/\S$/.test(prompt) && /^\S/.test(answer))
    return [
      `nothing stands between prompt and completion: begin the completion template with a space${example}`,
    ];
  return [];
}

function readLabel(record: DataRecord, column: string): string {
  requireColumn(record, column, `the label column is "${column}"`);
  const label = readText(record, column).trim();
  if (label === '') throw brokenLine(record.line, `has an empty label in column "${column}"`);
  return label;
}

function requireColumn(record: DataRecord, column: string, asked: string): void {
  if (record.values.has(column)) return;
  throw new CodedError(
    'DATA_COLUMN',
    `${asked}; line ${record.line} of the data file has the columns ${describeColumns(record)}`,
  );
}

function readText(record: DataRecord, column: string): string {
  const value = record.values.get(column);
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw brokenLine(
    record.line,
    `has "${column}": ${JSON.stringify(value)?.slice(0, 60)}, wanted a text, a number or true or false`,
  );
}

/** Names shown of a file with very many columns. */
const SHOWN_COLUMNS = 20;

function describeColumns({ values }: DataRecord): string {
  const names = [...values.keys()].map((name) => (name === '' ? '""' : name.slice(0, 80)));
  const more = names.length - SHOWN_COLUMNS;
  return `${names.slice(0, SHOWN_COLUMNS).join(', ') || 'none'}${more > 0 ? ` and ${more} more` : ''}`;
}
