import { type Static, Type } from 'typebox';
import { closed, ShortText } from './fields.js';
import { limits } from './limits.js';

const StopText = Type.String({ minLength: 1, maxLength: 256 });
const MaxTokens = Type.Integer({ minimum: 1, maximum: 8192 });

/**
 * What both completion routes take. A field that would be ignored is refused instead, so that no
 * client believes in an effect it does not have; those that clients send unasked are accepted with
 * the one value that means "nothing".
 */
const shared = {
  max_tokens: Type.Optional(MaxTokens),
  /** 0 (the default) always takes the likeliest token. */
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
  seed: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 })),
  stop: Type.Optional(Type.Union([StopText, Type.Array(StopText, { minItems: 1, maxItems: 4 })])),
  model: Type.Optional(ShortText),
  user: Type.Optional(ShortText),
  n: Type.Optional(Type.Literal(1)),
  top_p: Type.Optional(Type.Literal(1)),
  presence_penalty: Type.Optional(Type.Literal(0)),
  frequency_penalty: Type.Optional(Type.Literal(0)),
  /** The answer as server-sent events, piece by piece as it is written. */
  stream: Type.Optional(Type.Boolean()),
  /** Only with `stream`; `include_usage` adds one event with the token counts before the end. */
  stream_options: Type.Optional(Type.Object({ include_usage: Type.Optional(Type.Boolean()) }, closed)),
};

/** The completion door of a device, in the shape of OpenAI's `POST /v1/completions`. */
export const CompletionRequest = Type.Object(
  { prompt: Type.String({ minLength: 1, maxLength: limits.promptCharacters }), ...shared },
  closed,
);
export type CompletionRequest = Static<typeof CompletionRequest>;

const ChatText = Type.String({ maxLength: limits.promptCharacters });
export const ChatMessage = Type.Object(
  {
    role: Type.Enum(['system', 'user', 'assistant']),
    /** Text parts are put one after another. */
    content: Type.Union([
      ChatText,
      Type.Array(Type.Object({ type: Type.Literal('text'), text: ChatText }, closed), {
        minItems: 1,
        maxItems: 64,
      }),
    ]),
  },
  closed,
);
export type ChatMessage = Static<typeof ChatMessage>;

/**
 * The same door for conversations, in the shape of OpenAI's `POST /v1/chat/completions`. Without
 * `max_tokens` the answer may fill the model's context.
 */
export const ChatCompletionRequest = Type.Object(
  {
    messages: Type.Array(ChatMessage, { minItems: 1, maxItems: limits.chatMessages }),
    /** OpenAI's newer name of `max_tokens`. */
    max_completion_tokens: Type.Optional(MaxTokens),
    ...shared,
  },
  closed,
);
export type ChatCompletionRequest = Static<typeof ChatCompletionRequest>;

/** `stop`: the model ended its text or a stop string came up. `length`: max_tokens ran out. */
export const finishReasons = ['stop', 'length'] as const;
export type FinishReason = (typeof finishReasons)[number];
const FinishReason = Type.Enum([...finishReasons]);

/** Tokens of the prompt and of the answer, a stop string's included. */
export const CompletionUsage = Type.Object({
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
});
export type CompletionUsage = Static<typeof CompletionUsage>;

/** `created`: seconds since 1970. */
const head = { id: Type.String(), created: Type.Integer(), model: Type.String() };
/** Chunks of a stream with `include_usage`: null in all but the last one, which has no choice. */
const ChunkUsage = Type.Optional(Type.Union([CompletionUsage, Type.Null()]));
const ChunkFinish = Type.Union([FinishReason, Type.Null()]);

export const CompletionResponse = Type.Object({
  ...head,
  object: Type.Literal('text_completion'),
  choices: Type.Array(
    Type.Object({ index: Type.Integer(), text: Type.String(), finish_reason: FinishReason }),
  ),
  usage: CompletionUsage,
});
export type CompletionResponse = Static<typeof CompletionResponse>;

export const CompletionChunk = Type.Object({
  ...head,
  object: Type.Literal('text_completion'),
  choices: Type.Array(
    Type.Object({ index: Type.Integer(), text: Type.String(), finish_reason: ChunkFinish }),
  ),
  usage: ChunkUsage,
});
export type CompletionChunk = Static<typeof CompletionChunk>;

export const ChatCompletionResponse = Type.Object({
  ...head,
  object: Type.Literal('chat.completion'),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      message: Type.Object({ role: Type.Literal('assistant'), content: Type.String() }),
      finish_reason: FinishReason,
    }),
  ),
  usage: CompletionUsage,
});
export type ChatCompletionResponse = Static<typeof ChatCompletionResponse>;

export const ChatCompletionChunk = Type.Object({
  ...head,
  object: Type.Literal('chat.completion.chunk'),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      delta: Type.Object({
        role: Type.Optional(Type.Literal('assistant')),
        content: Type.Optional(Type.String()),
      }),
      finish_reason: ChunkFinish,
    }),
  ),
  usage: ChunkUsage,
});
export type ChatCompletionChunk = Static<typeof ChatCompletionChunk>;
