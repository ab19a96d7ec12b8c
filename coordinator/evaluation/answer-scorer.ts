import type { AnsweredRow, ForeignScorer, ScorerLimits } from './scorer-messages.js';
import { type ScorerProcess, scorerLimits, startScorerProcess } from './scorer-process.js';

/** Rows of one message, and of one time limit. */
const BATCH_ROWS = 64;

/** A scorer of the data set's task, its module read. */
export type LoadedScorer =
  | { readonly kind: 'exactMatch'; readonly ignoreCase?: boolean | undefined }
  | ForeignScorer;

/** Says which answers are right. One call at a time. */
export interface AnswerScorer {
  /**
   * A verdict a row; null where a regex finds no answer in the expected text.
   * @throws SCORER_INVALID, CHILD_FAILED; the next call starts afresh
   */
  judge(rows: readonly AnsweredRow[]): Promise<(boolean | null)[]>;
  close(): void;
}

/** A scorer of answers. What needs a process starts it with the first rows and keeps it. */
export function createAnswerScorer(scorer: LoadedScorer, limits: ScorerLimits = scorerLimits): AnswerScorer {
  if (scorer.kind === 'exactMatch') {
    const { ignoreCase } = scorer;
    const plain = (text: string): string => (ignoreCase ? text.trim().toLowerCase() : text.trim());
    return {
      judge: async (rows) => rows.map(({ expected, answer }) => plain(answer) === plain(expected)),
      close() {},
    };
  }
  let process: ScorerProcess | null = null;
  return {
    async judge(rows) {
      if (process === null || process.over) process = await startScorerProcess(scorer, limits);
      const verdicts: (boolean | null)[] = [];
      for (let from = 0; from < rows.length; from += BATCH_ROWS)
        verdicts.push(...(await process.judge(rows.slice(from, from + BATCH_ROWS))));
      return verdicts;
    },
    close: () => process?.close(),
  };
}
