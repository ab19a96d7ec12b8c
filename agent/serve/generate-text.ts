import type { LoopDecoder } from '@fleetlora/shared/engine';
import { CodedError } from '@fleetlora/shared/errors';
import type { FinishReason } from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import { type ChatTurn, createTextWriter, type Tokenizer } from '@fleetlora/shared/text';

/** What to complete; a JSON value. */
export interface TextRequest {
  /** A text, or a conversation that the model's chat template makes a text of. */
  readonly prompt: string | readonly ChatTurn[];
  /** Null: as many as the cache holds. */
  readonly maxTokens: number | null;
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
  readonly decoder: LoopDecoder;
  readonly tokenizer: Tokenizer;
  readonly stopIds: readonly number[];
  /** The prompt of a conversation. @throws BAD_REQUEST */
  readonly renderChat: (turns: readonly ChatTurn[]) => string;
}

/** Whoever waits for the text. */
export interface TextListener {
  /** Asked before every chunk of tokens; when it says true the answer so far is returned. */
  readonly isCanceled: () => Promise<boolean>;
  /**
   * Told every piece of text that is final: put together, the pieces are the answer's text. The
   * next chunk waits until it resolves.
   */
  readonly onPiece: (piece: string) => Promise<void>;
}

/**
 * Tokens of one run, which nothing can interrupt. The first run writes one, so that the first word
 * comes as soon as it can; more than this would save little, and a stop string or a cancellation waits.
 */
const MAX_CHUNK = 8;

/**
 * Completes a prompt, in chunks of 1, 2, 4 and then 8 tokens. The text ends before a stop token or stop string; both count as `stop`.
 * @throws BAD_REQUEST when the prompt is empty, or with `maxTokens` longer than the cache
 */
export async function generateText(
  { decoder, tokenizer, stopIds, renderChat }: Speaker,
  request: TextRequest,
  random: Random,
  listener: TextListener,
): Promise<TextAnswer> {
  const { prompt, temperature } = request;
  const promptIds = tokenizer.encode(typeof prompt === 'string' ? prompt : renderChat(prompt));
  const maxTokens = roomFor(promptIds.length, request.maxTokens, decoder.positions);
  const writer = createTextWriter(tokenizer, request.stop);
  let text = '';
  const tell = async (piece: string): Promise<void> => {
    if (piece === '') return;
    text += piece;
    await listener.onPiece(piece);
  };

  let completionTokens = 0;
  let ended = false;
  let chunk = 1;
  let unread: readonly number[] = promptIds;
  decoder.reset();
  while (!(await listener.isCanceled())) {
    const count = Math.min(chunk, maxTokens - completionTokens);
    const draws = temperature === 0 ? [] : Array.from({ length: count }, () => random.next());
    const ids = await decoder.write(unread, { count, stopIds, temperature, draws });
    for (const id of ids) {
      ended = stopIds.includes(id);
      if (ended) break;
      completionTokens++;
      await tell(writer.push(id));
      if (writer.stopped) break;
    }
    if (ended || writer.stopped || completionTokens === maxTokens) break;
    unread = ids.slice(-1);
    chunk = Math.min(2 * chunk, MAX_CHUNK);
  }
  await tell(writer.flush());
  const finishReason = ended || writer.stopped ? 'stop' : 'length';
  return { text, finishReason, promptTokens: promptIds.length, completionTokens };
}

/** Tokens the answer may have. */
function roomFor(promptTokens: number, maxTokens: number | null, positions: number): number {
  if (promptTokens === 0) throw new CodedError('BAD_REQUEST', 'the prompt has no tokens');
  const room = positions - promptTokens;
  if (room < (maxTokens ?? 1))
    throw new CodedError(
      'BAD_REQUEST',
      `${promptTokens} prompt tokens and ${maxTokens === null ? 'an answer' : `max_tokens ${maxTokens}`} do not fit into ${positions} positions`,
    );
  return maxTokens ?? room;
}
