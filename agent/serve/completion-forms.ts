import { CodedError } from '@fleetlora/shared/errors';
import {
  type ChatCompletionChunk,
  ChatCompletionRequest,
  type ChatCompletionResponse,
  type CompletionChunk,
  CompletionRequest,
  type CompletionResponse,
  type CompletionUsage,
  type FinishReason,
  limits,
  parseAs,
} from '@fleetlora/shared/protocol';
import type { ChatTurn } from '@fleetlora/shared/text';
import type { TextAnswer, TextRequest } from './generate-text.js';

/** A parsed request: what to generate, and how the client wants to be told. */
export interface ParsedCompletion {
  /** `seed` null: the client does not care. */
  readonly request: Omit<TextRequest, 'seed'> & { readonly seed: number | null };
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/** What every answer and every chunk of one completion begins with; `created` in seconds. */
export interface CompletionHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** One of OpenAI's two routes: how it is asked, and the shapes of its answers. */
export interface CompletionForm {
  readonly idPrefix: string;
  /** @throws MESSAGE_MALFORMED, BAD_REQUEST */
  parse(body: unknown): ParsedCompletion;
  answer(head: CompletionHead, answer: TextAnswer): CompletionResponse | ChatCompletionResponse;
  /** Chunks before the first piece. */
  opening(head: CompletionHead): Chunk[];
  chunk(head: CompletionHead, piece: string): Chunk;
  closing(head: CompletionHead, finishReason: FinishReason): Chunk;
  /** The chunk without a choice that tells the usage. */
  usage(head: CompletionHead, usage: CompletionUsage): Chunk;
}
export type Chunk = CompletionChunk | ChatCompletionChunk;

export function usageOf({ promptTokens, completionTokens }: TextAnswer): CompletionUsage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

/** OpenAI's default for texts; a conversation has none. */
const DEFAULT_MAX_TOKENS = 16;

const textHead = (head: CompletionHead) => ({ ...head, object: 'text_completion' as const });
/** `POST /v1/completions`. */
export const textForm: CompletionForm = {
  idPrefix: 'cmpl',
  parse(body) {
    const request = parseAs(CompletionRequest, body, 'completion request');
    return parsed(request, request.prompt, request.max_tokens ?? DEFAULT_MAX_TOKENS);
  },
  answer: (head, answer) => ({
    ...textHead(head),
    choices: [{ index: 0, text: answer.text, finish_reason: answer.finishReason }],
    usage: usageOf(answer),
  }),
  opening: () => [],
  chunk: (head, text) => ({ ...textHead(head), choices: [{ index: 0, text, finish_reason: null }] }),
  closing: (head, finish_reason) => ({
    ...textHead(head),
    choices: [{ index: 0, text: '', finish_reason }],
  }),
  usage: (head, usage) => ({ ...textHead(head), choices: [], usage }),
};

const chatHead = (head: CompletionHead) => ({ ...head, object: 'chat.completion.chunk' as const });
/** `POST /v1/chat/completions`. */
export const chatForm: CompletionForm = {
  idPrefix: 'chatcmpl',
  parse(body) {
    const request = parseAs(ChatCompletionRequest, body, 'chat completion request');
    const { max_tokens, max_completion_tokens } = request;
    if (max_tokens !== undefined && max_completion_tokens !== undefined)
      throw new CodedError('BAD_REQUEST', 'max_tokens and max_completion_tokens say the same, wanted one');
    return parsed(request, readTurns(request.messages), max_completion_tokens ?? max_tokens ?? null);
  },
  answer: (head, answer) => ({
    ...head,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: answer.text },
        finish_reason: answer.finishReason,
      },
    ],
    usage: usageOf(answer),
  }),
  opening: (head) => [
    {
      ...chatHead(head),
      choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }],
    },
  ],
  chunk: (head, content) => ({
    ...chatHead(head),
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  }),
  closing: (head, finish_reason) => ({
    ...chatHead(head),
    choices: [{ index: 0, delta: {}, finish_reason }],
  }),
  usage: (head, usage) => ({ ...chatHead(head), choices: [], usage }),
};

/** Half of a character that takes two UTF-16 units; a text could be cut in it. */
const LONE_SURROGATE = /\p{Surrogate}/u;

function parsed(
  body: CompletionRequest | ChatCompletionRequest,
  prompt: TextRequest['prompt'],
  maxTokens: number | null,
): ParsedCompletion {
  const stop = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  if (stop.some((text) => LONE_SURROGATE.test(text)))
    throw new CodedError('BAD_REQUEST', 'a stop string holds half a character, wanted whole ones');
  if (body.stream_options !== undefined && body.stream !== true)
    throw new CodedError('BAD_REQUEST', 'stream_options came without "stream": true');
  return {
    request: { prompt, maxTokens, temperature: body.temperature ?? 0, seed: body.seed ?? null, stop },
    stream: body.stream === true,
    includeUsage: body.stream_options?.include_usage === true,
  };
}

function readTurns(messages: ChatCompletionRequest['messages']): ChatTurn[] {
  const turns = messages.map(({ role, content }) => ({
    role,
    content: typeof content === 'string' ? content : content.map(({ text }) => text).join(''),
  }));
  const characters = turns.reduce((sum, { content }) => sum + content.length, 0);
  if (characters > limits.promptCharacters)
    throw new CodedError(
      'BAD_REQUEST',
      `the messages have ${characters} characters, at most ${limits.promptCharacters} are allowed`,
    );
  return turns;
}
