/**
 * What evaluation, the scorer's process and its thread say to each other. All values are JSON: the
 * module in the thread is not ours.
 */

/** A row and what the model wrote after its prompt. */
export interface AnsweredRow {
  readonly prompt: string;
  readonly expected: string;
  readonly answer: string;
}

/** A scorer whose code is foreign: its pattern, or the text of its module. */
export type ForeignScorer =
  | { readonly kind: 'regex'; readonly pattern: string }
  | { readonly kind: 'module'; readonly source: string };

/** Ceilings on foreign code. */
export interface ScorerLimits {
  /** For loading it, and for each batch of rows. */
  readonly batchMs: number;
  /** Its heap in MiB. */
  readonly heapMegabytes: number;
  /** Its whole process, buffers outside the heap included, in bytes. */
  readonly residentBytes: number;
}

/** Evaluation to process; the first message starts the thread. */
export type ToScorer =
  | { readonly kind: 'load'; readonly scorer: ForeignScorer; readonly limits: ScorerLimits }
  | { readonly kind: 'score'; readonly rows: readonly AnsweredRow[] };

/** Process to evaluation: one answer a message. */
export type FromScorer =
  | { readonly kind: 'loaded' }
  /** A verdict a row; null where a regex finds no answer in the expected text. */
  | { readonly kind: 'verdicts'; readonly verdicts: readonly (boolean | null)[] }
  /** The scorer is at fault. The process ends after it. */
  | { readonly kind: 'invalid'; readonly why: string };
