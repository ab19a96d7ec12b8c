import type { Decoder } from '@fleetlora/shared/engine';
import { CodedError } from '@fleetlora/shared/errors';
import type { FinishReason } from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import type { Tokenizer } from '@fleetlora/shared/text';
import { sampleToken } from './sample-token.js';

/** What to complete; a JSON value. */
export interface TextRequest {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
  readonly stop: readonly string[];
}

export interface TextAnswer {
  readonly text: string;
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export interface Speaker {
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  readonly stopIds: readonly number[];
}

/**
 * Completes a prompt. The text ends before a stop token or stop string; both count as `stop`.
 * @param isCanceled asked before every token; when it says true the answer so far is returned
 * @throws BAD_REQUEST when the prompt is empty, or with `maxTokens` longer than the cache
 */
export async function generateText(
  { decoder, tokenizer, stopIds }: Speaker,
  request: TextRequest,
  random: Random,
  isCanceled: () => Promise<boolean>,
): Promise<TextAnswer> {
  const promptIds = tokenizer.encode(request.prompt);
  if (promptIds.length === 0) throw new CodedError('BAD_REQUEST', 'the prompt has no tokens');
  if (promptIds.length + request.maxTokens > decoder.positions)
    throw new CodedError(
      'BAD_REQUEST',
      `${promptIds.length} prompt tokens and max_tokens ${request.maxTokens} do not fit into ${decoder.positions} positions`,
    );
  const ids: number[] = [];
  const answer = (text: string, finishReason: FinishReason): TextAnswer => ({
    text,
    finishReason,
    promptTokens: promptIds.length,
    completionTokens: ids.length,
  });

  decoder.reset();
  let logits = await decoder.prefill(promptIds);
  while (!(await isCanceled())) {
    const id = sampleToken(logits, request.temperature, random);
    if (stopIds.includes(id)) return answer(tokenizer.decode(ids), 'stop');
    ids.push(id);
    if (request.stop.length > 0) {
      const text = tokenizer.decode(ids);
      const ends = request.stop.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
      if (ends.length > 0) return answer(text.slice(0, Math.min(...ends)), 'stop');
    }
    if (ids.length === request.maxTokens) break;
    logits = await decoder.step(id);
  }
  return answer(tokenizer.decode(ids), 'length');
}
