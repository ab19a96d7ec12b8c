import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { CodedError } from '../errors.js';

/** Text to token ids and back, as the base model was trained. */
export interface Tokenizer {
  /** Token ids of a text; no special token is added at either end. */
  encode(text: string): number[];
  /** Text of token ids; special tokens (end, padding) are written out, spaces kept as they are. */
  decode(ids: readonly number[]): string;
  /** One more than the largest id, added tokens included. */
  readonly vocabSize: number;
}

/**
 * Builds a tokenizer from the JSON value of a Hugging Face tokenizer.json.
 * @throws TOKENIZER when it is not one, or uses a part that is not supported
 */
export function createTokenizer(json: unknown): Tokenizer {
  if (typeof json !== 'object' || json === null || !('model' in json))
    throw new CodedError('TOKENIZER', 'tokenizer.json has no "model", wanted a Hugging Face tokenizer');
  let inner: HuggingFaceTokenizer;
  let vocabSize = 0;
  try {
    inner = new HuggingFaceTokenizer(json, {});
    for (const id of inner.get_vocab(true).values()) vocabSize = Math.max(vocabSize, id + 1);
  } catch (cause) {
    throw new CodedError('TOKENIZER', `tokenizer.json cannot be used: ${String(cause)}`.slice(0, 500), {
      cause,
    });
  }
  if (vocabSize === 0 || !Number.isSafeInteger(vocabSize))
    throw new CodedError('TOKENIZER', 'tokenizer.json has no vocabulary of numbered tokens');
  return {
    vocabSize,
    encode: (text) => inner.encode(text, { add_special_tokens: false }).ids,
    decode: (ids) =>
      ids.length === 0
        ? ''
        : inner.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
  };
}
