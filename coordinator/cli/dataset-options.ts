import { basename, dirname } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import {
  type DatasetImport,
  type DatasetTask,
  type Scorer,
  type SplitName,
  splitNames,
} from '@fleetlora/shared/protocol';
import { InvalidArgumentError } from 'commander';
import { toName } from './arguments.js';

/** What `dataset import` was asked on the command line, the connection left out. */
export interface DatasetOptions {
  readonly name?: string;
  readonly train?: string;
  readonly validation?: string;
  readonly test?: string;
  readonly format?: 'csv' | 'jsonl';
  readonly promptTemplate?: string;
  readonly completionTemplate?: string;
  readonly labelColumn?: string;
  readonly split?: Omit<NonNullable<DatasetImport['split']>, 'seed'>;
  readonly seed?: number;
  readonly scorer?: string;
  readonly pattern?: string;
  readonly ignoreCase?: boolean;
  readonly maxNewTokens?: number;
}

/** An answer with its reasoning, as in GSM8K, has up to 250 tokens. */
export const defaultMaxNewTokens = 256;

/** Parser of "80/10/10", for commander. */
export function splitParts(text: string): NonNullable<DatasetOptions['split']> {
  const match = /^(\d{1,3})[/,:](\d{1,3})[/,:](\d{1,3})$/.exec(text);
  const [train = 0, validation = 0, test = 0] = match?.slice(1).map(Number) ?? [];
  if (match && train + validation + test === 100) return { train, validation, test };
  throw new InvalidArgumentError(
    'Wanted percent of train/validation/test that add up to 100, such as 80/10/10 or 0/50/50.',
  );
}

/** A template as it is written in a shell: \n, \t and \\ stand for what they do elsewhere. */
export function templateText(text: string): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', '\\': '\\' };
  return text.replace(/\\([nt\\])/g, (_all, letter: string) => escapes[letter] as string);
}

/**
 * The files to upload by split.
 * @throws BAD_USAGE unless it is one file, or some of --train, --validation and --test
 */
export function filesOf(
  file: string | undefined,
  { train, validation, test, split, seed }: DatasetOptions,
): Partial<Record<SplitName, string>> {
  const files = Object.fromEntries(
    Object.entries({ all: file, train, validation, test }).filter(([, path]) => path !== undefined),
  ) as Partial<Record<SplitName, string>>;
  const count = Object.keys(files).length;
  if (count === 0)
    throw new CodedError(
      'BAD_USAGE',
      'no file was given, wanted FILE or some of --train, --validation, --test',
    );
  if (file !== undefined && count > 1)
    throw new CodedError(
      'BAD_USAGE',
      `${file} was given beside --train, --validation or --test, wanted either; --split makes splits of one file`,
    );
  if (split !== undefined && file === undefined)
    throw new CodedError('BAD_USAGE', '--split makes splits of one FILE, and files by split were given');
  if (seed !== undefined && split === undefined)
    throw new CodedError('BAD_USAGE', '--seed says how --split deals rows out, and no --split was given');
  return files;
}

/** Of "data/banking77_train.csv" given as --train "banking77", of "intents/train.csv" "intents". */
export function nameOfFiles(files: Partial<Record<SplitName, string>>): string {
  const split = splitNames.find((name) => files[name] !== undefined);
  const path = split === undefined ? '' : (files[split] as string);
  const stem = basename(path).replace(/\.(jsonl?|csv|tsv|txt)$/i, '');
  if (split === undefined || split === 'all') return toName(stem);
  if (stem.toLowerCase() === split) return toName(basename(dirname(path)).replace(/^\.+$/, '') || stem);
  return toName(stem.replace(new RegExp(`[._ -]${split}$`, 'i'), ''));
}

/**
 * The task that the scorer's options ask for; undefined for the usual one.
 * @param upload stores a scorer's module and returns its digest
 * @throws BAD_USAGE when they do not go together
 */
export async function taskOf(
  options: Pick<DatasetOptions, 'scorer' | 'pattern' | 'ignoreCase' | 'maxNewTokens'>,
  upload: (path: string) => Promise<string>,
): Promise<DatasetTask | undefined> {
  const { pattern, ignoreCase, maxNewTokens } = options;
  const scorer = options.scorer ?? (pattern === undefined ? undefined : 'regex');
  const refuse = (option: string, wanted: string): never => {
    throw new CodedError(
      'BAD_USAGE',
      `${option} goes with ${wanted}, and the scorer is ${scorer ?? 'not given'}`,
    );
  };
  if (pattern !== undefined && scorer !== 'regex') refuse('--pattern', '--scorer regex');
  if (ignoreCase && scorer !== 'exact') refuse('--ignore-case', '--scorer exact');
  if (scorer === undefined) {
    if (maxNewTokens !== undefined) refuse('--max-new-tokens', '--scorer');
    return undefined;
  }
  return {
    kind: 'generation',
    maxNewTokens: maxNewTokens ?? defaultMaxNewTokens,
    scorer: await scorerOf(scorer, { pattern, ignoreCase }, upload),
  };
}

async function scorerOf(
  scorer: string,
  { pattern, ignoreCase }: Pick<DatasetOptions, 'pattern' | 'ignoreCase'>,
  upload: (path: string) => Promise<string>,
): Promise<Scorer> {
  if (scorer === 'exact') return { kind: 'exactMatch', ...(ignoreCase ? { ignoreCase } : {}) };
  if (scorer === 'regex') {
    if (pattern !== undefined) return { kind: 'regex', pattern };
    throw new CodedError('BAD_USAGE', "--scorer regex needs --pattern, such as '####\\s*(-?[\\d,.]+)'");
  }
  if (/\.m?js$/.test(scorer)) return { kind: 'module', digest: await upload(scorer) };
  throw new CodedError('BAD_USAGE', `--scorer is "${scorer}", wanted exact, regex or a module FILE.mjs`);
}
