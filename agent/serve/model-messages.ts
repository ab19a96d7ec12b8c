import { CodedError } from '@fleetlora/shared/errors';
import { finishReasons } from '@fleetlora/shared/protocol';
import type { ModelFiles } from '../model/index.js';
import type { TextAnswer, TextRequest } from './generate-text.js';

/** A model to load, as a JSON value. */
export interface ModelSpec {
  /** What clients see as the model's name. */
  readonly name: string;
  readonly files: ModelFiles;
  readonly tokenizerFile: string;
  readonly stopIds: readonly number[];
  readonly threads: number;
}

/** From the agent to its model process. */
export type ToModel =
  | { readonly kind: 'load'; readonly spec: ModelSpec }
  | {
      readonly kind: 'complete';
      readonly id: number;
      readonly request: TextRequest;
      /** The text is wanted piece by piece as well. */
      readonly pieces: boolean;
    }
  /** A piece has been passed on; another may come. */
  | { readonly kind: 'taken'; readonly id: number }
  | {
      readonly kind: 'continue';
      readonly id: number;
      readonly promptIds: readonly number[];
      readonly maxTokens: number;
    }
  | { readonly kind: 'cancel'; readonly id: number };

/** From a model process to its agent. */
export type FromModel =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'piece'; readonly id: number; readonly text: string }
  | { readonly kind: 'completed'; readonly id: number; readonly answer: TextAnswer }
  | { readonly kind: 'continued'; readonly id: number; readonly ids: readonly number[] }
  /** `id` null: the load failed. */
  | { readonly kind: 'failed'; readonly id: number | null; readonly code: string; readonly message: string };

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Checks what a model process says. @throws MESSAGE_MALFORMED */
export function parseFromModel(value: unknown): FromModel {
  const said = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (said.kind === 'loaded') return { kind: 'loaded' };
  if (said.kind === 'failed' && (said.id === null || isCount(said.id)))
    return {
      kind: 'failed',
      id: said.id,
      code: String(said.code),
      message: String(said.message).slice(0, 3000),
    };
  if (said.kind === 'piece' && isCount(said.id) && typeof said.text === 'string')
    return { kind: 'piece', id: said.id, text: said.text };
  if (said.kind === 'completed' && isCount(said.id))
    return { kind: 'completed', id: said.id, answer: parseAnswer(said.answer) };
  if (said.kind === 'continued' && isCount(said.id) && Array.isArray(said.ids) && said.ids.every(isCount))
    return { kind: 'continued', id: said.id, ids: said.ids };
  throw new CodedError(
    'MESSAGE_MALFORMED',
    `the model process said "${String(said.kind).slice(0, 40)}" in a form that does not fit`,
  );
}

function parseAnswer(value: unknown): TextAnswer {
  const { text, finishReason, promptTokens, completionTokens } = (value ?? {}) as Record<string, unknown>;
  const reason = finishReasons.find((known) => known === finishReason);
  if (typeof text !== 'string' || !reason || !isCount(promptTokens) || !isCount(completionTokens))
    throw new CodedError('MESSAGE_MALFORMED', 'the model process gave an answer that does not fit');
  return { text, finishReason: reason, promptTokens, completionTokens };
}
