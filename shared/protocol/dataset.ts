import { type Static, Type } from 'typebox';
import { closed, Digest, Id, Name, ShortText, TimeMs } from './fields.js';

/** `all` stands alone: a data set that was not split. */
export const splitNames = ['all', 'train', 'validation', 'test'] as const;
export type SplitName = (typeof splitNames)[number];

/**
 * How an answer that the model wrote is compared with the expected one.
 * `exactMatch`: equal texts, white space at both ends left out.
 * `regex`: the last match of `pattern` in each (its group 1 where it has one) is the answer; commas,
 * white space and a full stop at the end are left out; an expected text without a match is an error
 * of the row.
 * `module`: a JavaScript module of the user's, whose `score({prompt, expected, answer})` says true
 * or false, at once or as a promise. It is one file without imports.
 */
export const Scorer = Type.Union([
  Type.Object({ kind: Type.Literal('exactMatch'), ignoreCase: Type.Optional(Type.Boolean()) }, closed),
  Type.Object(
    { kind: Type.Literal('regex'), pattern: Type.String({ minLength: 1, maxLength: 512 }) },
    closed,
  ),
  Type.Object({ kind: Type.Literal('module'), digest: Digest }, closed),
]);
export type Scorer = Static<typeof Scorer>;

/**
 * What is asked of a row. `completion`: every target token, the end included, is the likeliest
 * under teacher forcing. `generation`: the model writes greedily, at most `maxNewTokens`, and the
 * scorer judges.
 */
export const DatasetTask = Type.Union([
  Type.Object({ kind: Type.Literal('completion') }, closed),
  Type.Object(
    {
      kind: Type.Literal('generation'),
      maxNewTokens: Type.Integer({ minimum: 1, maximum: 1024 }),
      scorer: Scorer,
    },
    closed,
  ),
]);
export type DatasetTask = Static<typeof DatasetTask>;

const Template = Type.String({ minLength: 1, maxLength: 16_384 });

/**
 * `files`: uploads by split, either `all` alone or any of the others. Without `promptTemplate` a
 * row must have "prompt" and "completion". With it a row is an object of columns (a CSV line under
 * its header, or a JSON line); `{column}` is replaced by the column's text and `{column|words}` by
 * the same with `_` and `-` as spaces.
 */
export const DatasetImport = Type.Object(
  {
    name: Name,
    files: Type.Partial(
      Type.Object({ all: Digest, train: Digest, validation: Digest, test: Digest }, closed),
    ),
    /** Absent: CSV when the first line that is not blank is no JSON object. */
    format: Type.Optional(Type.Enum(['jsonl', 'csv'])),
    promptTemplate: Type.Optional(Template),
    /** " {label|words}" with `label` = labelColumn when absent. */
    completionTemplate: Type.Optional(Template),
    /** Column of the class; asks for the report on imbalance and for stratified splits. */
    labelColumn: Type.Optional(ShortText),
    /** Makes splits of the file `all`; parts in percent, 0 leaves a split out; the sum is 100. */
    split: Type.Optional(
      Type.Object(
        {
          train: Type.Integer({ minimum: 0, maximum: 100 }),
          validation: Type.Integer({ minimum: 0, maximum: 100 }),
          test: Type.Integer({ minimum: 0, maximum: 100 }),
          seed: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
        },
        closed,
      ),
    ),
    /** `completion` when absent. */
    task: Type.Optional(DatasetTask),
  },
  closed,
);
export type DatasetImport = Static<typeof DatasetImport>;

/** A stored split: JSONL of {"prompt", "completion"}. */
export const DatasetSplit = Type.Object({ digest: Digest, rows: Type.Integer() });
export type DatasetSplit = Static<typeof DatasetSplit>;

/** What the import found; each count is of rows. */
export const DatasetReport = Type.Object({
  /** Rows a class has, largest first, at most 1,000 classes; null without a label column. */
  labels: Type.Union([
    Type.Array(Type.Object({ label: Type.String(), rows: Type.Integer() }), { maxItems: 1000 }),
    Type.Null(),
  ]),
  /** Rows of the largest class for each row of the smallest. */
  imbalance: Type.Union([Type.Number(), Type.Null()]),
  /** Rows whose prompt occurred before in the same split. */
  duplicateRows: Type.Integer(),
  /** Prompts that two splits share. */
  leaks: Type.Array(
    Type.Object({ splits: Type.Tuple([Type.String(), Type.String()]), rows: Type.Integer() }),
  ),
  /** The same findings and more (classes that a split lacks, ...) as sentences for people. */
  warnings: Type.Array(Type.String()),
});
export type DatasetReport = Static<typeof DatasetReport>;

export const Dataset = Type.Object({
  id: Id,
  name: Name,
  /** Of the first split. */
  digest: Digest,
  /** Of all splits together. */
  rows: Type.Integer(),
  splits: Type.Partial(
    Type.Object({ all: DatasetSplit, train: DatasetSplit, validation: DatasetSplit, test: DatasetSplit }),
  ),
  task: DatasetTask,
  /** Null for data imported before reports were made. */
  report: Type.Union([DatasetReport, Type.Null()]),
  createdAtMs: TimeMs,
});
export type Dataset = Static<typeof Dataset>;
