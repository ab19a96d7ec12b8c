import { type Static, Type } from 'typebox';
import { closed, ShortText } from './fields.js';
import { limits } from './limits.js';

/**
 * The completion door of a device, in the shape of OpenAI's `POST /v1/completions`. A field that
 * would be ignored is refused instead, so that no client believes in an effect it does not have.
 */
export const CompletionRequest = Type.Object(
  {
    prompt: Type.String({ minLength: 1, maxLength: limits.promptCharacters }),
    max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 8192 })),
    /** 0 (the default) always takes the likeliest token. */
    temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 })),
    stop: Type.Optional(
      Type.Union([
        Type.String({ minLength: 1, maxLength: 256 }),
        Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { minItems: 1, maxItems: 4 }),
      ]),
    ),
    model: Type.Optional(ShortText),
    user: Type.Optional(ShortText),
    n: Type.Optional(Type.Literal(1)),
    stream: Type.Optional(Type.Literal(false)),
  },
  closed,
);
export type CompletionRequest = Static<typeof CompletionRequest>;

/** `stop`: the model ended its text or a stop string came up. `length`: max_tokens ran out. */
export const finishReasons = ['stop', 'length'] as const;
export type FinishReason = (typeof finishReasons)[number];

export const CompletionResponse = Type.Object({
  id: Type.String(),
  object: Type.Literal('text_completion'),
  /** Seconds since 1970. */
  created: Type.Integer(),
  model: Type.String(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      text: Type.String(),
      finish_reason: Type.Enum([...finishReasons]),
    }),
  ),
  usage: Type.Object({
    prompt_tokens: Type.Integer(),
    completion_tokens: Type.Integer(),
    total_tokens: Type.Integer(),
  }),
});
export type CompletionResponse = Static<typeof CompletionResponse>;
