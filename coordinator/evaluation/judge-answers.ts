import { type CandidateModel, generateRows, type RowScore } from '@fleetlora/shared/engine';
import { CodedError } from '@fleetlora/shared/errors';
import type { Runtime } from '@fleetlora/shared/runtime';
import type { AnswerScorer } from './answer-scorer.js';
import type { LoadedRows } from './row-sets.js';

/**
 * Has a model answer the prompts of rows, greedily, and a scorer judge the answers.
 * @param scores of the same rows under teacher forcing: their loss stays, `correct` is replaced
 * @param options.positions of the model; a prompt that leaves no room for the answer is cut at its
 *   start, since its end asks the question
 * @throws BAD_REQUEST when the model has no room for such an answer, SCORER_INVALID, CHILD_FAILED
 */
export async function judgeAnswers(
  runtime: Runtime,
  model: CandidateModel,
  { texts, encoded, tokenizer }: LoadedRows,
  scores: readonly RowScore[],
  options: {
    readonly maxNewTokens: number;
    readonly stopIds: readonly number[];
    readonly positions: number;
    readonly threads: number;
    readonly scorer: AnswerScorer;
  },
): Promise<RowScore[]> {
  const { maxNewTokens, stopIds, positions, threads, scorer } = options;
  const room = positions - maxNewTokens;
  if (room < 1)
    throw new CodedError(
      'BAD_REQUEST',
      `the data set asks for up to ${maxNewTokens} new tokens, the model has ${positions} positions for prompt and answer`,
    );
  const prompts = encoded.map(({ ids, targetStart }) =>
    Array.from(ids.subarray(Math.max(0, targetStart - room), targetStart)),
  );
  const answers = await generateRows(runtime, model, prompts, { maxTokens: maxNewTokens, stopIds, threads });
  const verdicts = await scorer.judge(
    texts.map(({ prompt, completion }, row) => ({
      prompt,
      expected: completion,
      answer: tokenizer.decode(answers[row]?.ids ?? []),
    })),
  );
  return scores.map((score, row) => ({
    ...score,
    correct: verdicts[row] === true,
    cut: answers[row]?.end === 'length',
  }));
}
