import { CodedError } from '../errors.js';
import type { TextRow } from './rows.js';
import type { Tokenizer } from './tokenizer.js';

/** A row as a model sees it. */
export interface TokenRow {
  /** Prompt, completion and the stop token. */
  readonly ids: Int32Array;
  /** Positions from here on are targets, each predicted from the position before it; at least 1. */
  readonly targetStart: number;
}

/**
 * Prompt and completion are encoded apart, so the border between them is always a token border.
 * A row longer than `maxTokens` loses prompt tokens at its start: the end of a prompt asks the
 * question.
 * @param options.stopId token that ends the completion
 * @throws DATA_LINE when completion, stop token and one prompt token do not fit
 */
export function encodeRow(
  tokenizer: Tokenizer,
  row: TextRow,
  options: { readonly stopId: number; readonly maxTokens: number },
): TokenRow {
  const prompt = tokenizer.encode(row.prompt);
  const target = [...tokenizer.encode(row.completion), options.stopId];
  const room = options.maxTokens - target.length;
  if (room < 1 || prompt.length < 1)
    throw new CodedError(
      'DATA_LINE',
      `row "${row.prompt.slice(0, 40)}" has ${prompt.length} prompt and ${target.length} target tokens; ` +
        `all targets and at least one prompt token must fit into ${options.maxTokens}`,
    );
  const kept = prompt.slice(Math.max(0, prompt.length - room));
  return { ids: Int32Array.from([...kept, ...target]), targetStart: kept.length };
}
