import { CodedError } from '@fleetlora/shared/errors';
import type { DatasetTask } from '@fleetlora/shared/protocol';
import type { TextRow } from '@fleetlora/shared/text';
import { createAnswerScorer } from './answer-scorer.js';
import { loadScorer } from './load-scorer.js';
import type { AnsweredRow, ScorerLimits } from './scorer-messages.js';

/** Rows that a user's module is tried on. */
const MODULE_ROWS = 64;
const BATCH_ROWS = 256;

/**
 * Finds out whether the scorer of a task can be used on these rows, by having it judge the
 * expected texts as if they were answers. Other tasks than `generation` have nothing to check.
 * @param options.contentFolder holds a scorer's module under its digest
 * @param options.where names the rows in messages, such as "split test"
 * @returns what the user should know, as sentences: a module that calls expected texts wrong
 * @throws SCORER_INVALID (does not compile or load, fails, is too slow), NOT_FOUND (no such module),
 *   DATA_LINE naming the first row in whose expected text a regex finds no answer
 */
export async function checkScorer(
  task: DatasetTask,
  options: {
    readonly contentFolder: string;
    readonly rows: Iterable<TextRow> | AsyncIterable<TextRow>;
    readonly where?: string | undefined;
    readonly limits?: ScorerLimits;
  },
): Promise<string[]> {
  if (task.kind !== 'generation' || task.scorer.kind === 'exactMatch') return [];
  const scorer = await loadScorer(task.scorer, options.contentFolder);
  const judge = createAnswerScorer(scorer, options.limits);
  const where = options.where === undefined ? 'the data' : options.where;
  const most = scorer.kind === 'module' ? MODULE_ROWS : Number.POSITIVE_INFINITY;
  let checked = 0;
  let wrong = 0;
  const check = async (rows: readonly AnsweredRow[]): Promise<void> => {
    const verdicts = await judge.judge(rows);
    const unmatched = verdicts.indexOf(null);
    if (scorer.kind === 'regex' && unmatched >= 0)
      throw new CodedError(
        'DATA_LINE',
        `row ${checked + unmatched + 1} of ${where}: the pattern ${scorer.pattern} has no match in the expected ` +
          `text ${JSON.stringify(rows[unmatched]?.expected.slice(-80))}`,
      );
    checked += rows.length;
    wrong += verdicts.filter((verdict) => verdict === false).length;
  };
  try {
    let batch: AnsweredRow[] = [];
    for await (const { prompt, completion } of options.rows) {
      batch.push({ prompt, expected: completion, answer: completion });
      if (checked + batch.length >= most) break;
      if (batch.length < BATCH_ROWS) continue;
      await check(batch);
      batch = [];
    }
    // Without rows too: so a scorer that cannot be loaded is found.
    if (batch.length > 0 || checked === 0) await check(batch);
  } finally {
    judge.close();
  }
  return wrong === 0
    ? []
    : [
        `the scorer calls the expected text itself wrong in ${wrong} of the first ${checked} rows of ${where}`,
      ];
}
