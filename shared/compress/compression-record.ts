import { CodedError } from '../errors.js';
import { parseJson } from '../weights/parse-json.js';
import { quoteValue } from '../weights/quote-value.js';
import type { TensorFile } from '../weights/tensor-file.js';

/** What a base file that was pruned records of it, under `pruning`. */
export interface PruningRecord {
  readonly method: 'wanda';
  /** Share of each output's weights that was set to 0. */
  readonly sparsity: number;
  /** SHA-256 of the base file that was pruned. */
  readonly baseDigest: string;
  /** SHA-256 of the rows that it was calibrated on, and how much of them. */
  readonly datasetDigest: string;
  readonly rows: number;
  readonly tokens: number;
}

/** What a base file that an adapter was merged into records of it, under `merged`. */
export interface MergeRecord {
  /** SHA-256 of the files that it was made of. */
  readonly baseDigest: string;
  readonly adapterDigest: string;
  /** Canonical text of the candidate. */
  readonly genome: string;
}

/** Characters of a record: a genome of the largest size and three digests. */
const MAX_RECORD = 8 * 1024;
const DIGEST = /^[0-9a-f]{64}$/;

const isDigest = (value: unknown): boolean => typeof value === 'string' && DIGEST.test(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;

/** What each field must be. */
type Checks<T> = Readonly<Record<keyof T, (value: unknown) => boolean>>;

const pruningChecks: Checks<PruningRecord> = {
  method: (value) => value === 'wanda',
  sparsity: (value) => typeof value === 'number' && value > 0 && value < 1,
  baseDigest: isDigest,
  datasetDigest: isDigest,
  rows: isCount,
  tokens: isCount,
};

const mergeChecks: Checks<MergeRecord> = {
  baseDigest: isDigest,
  adapterDigest: isDigest,
  genome: (value) => typeof value === 'string' && /^g\d:/.test(value),
};

/** How a base file was pruned; null when it was not. @throws MODEL_CONFIG when the record is broken */
export function readPruning(file: Pick<TensorFile, 'metadata'>): PruningRecord | null {
  return readRecord<PruningRecord>(file, 'pruning', pruningChecks);
}

/** What was merged into a base file; null when nothing was. @throws MODEL_CONFIG when the record is broken */
export function readMerge(file: Pick<TensorFile, 'metadata'>): MergeRecord | null {
  return readRecord<MergeRecord>(file, 'merged', mergeChecks);
}

function readRecord<T>(
  { metadata }: Pick<TensorFile, 'metadata'>,
  key: string,
  checks: Readonly<Record<string, (value: unknown) => boolean>>,
): T | null {
  const text = metadata[key];
  if (text === undefined) return null;
  const broken = (what: string): CodedError =>
    new CodedError('MODEL_CONFIG', `weight file records ${key} = ${quoteValue(text)}, wanted ${what}`);
  if (text.length > MAX_RECORD) throw broken(`at most ${MAX_RECORD} characters`);
  const value = parseJson(
    new TextEncoder().encode(text),
    { what: `"${key}" of the weight file`, offset: 0, code: 'MODEL_CONFIG' },
    { depth: 2, values: 64 },
  );
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw broken('an object');
  for (const [name, isRight] of Object.entries(checks))
    if (!isRight((value as Record<string, unknown>)[name])) throw broken(`a "${name}" that is possible`);
  return value as T;
}
