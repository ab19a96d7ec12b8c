import { CodedError } from '../errors.js';
import { limits } from '../protocol/limits.js';
import type { GgufValue } from '../weights/gguf/head-reader.js';
import { quoteValue } from '../weights/quote-value.js';
import type { ChatTemplateSource } from './chat-template.js';
import { byteLevel, preTokenizers } from './gguf-pre-tokenizers.js';
import { ggufTokenTypes } from './gguf-token-types.js';
import { spmMerges } from './spm-merges.js';

type Metadata = ReadonlyMap<string, GgufValue>;

/** Of real vocabularies the longest token has 256 characters: runs of spaces. */
const MAX_TOKEN_CHARACTERS = 1024;

/**
 * Value of a tokenizer.json that reads and writes the tokens of a GGUF file.
 * Kinds: byte-level BPE ("gpt2") and SentencePiece BPE ("llama").
 * @throws TOKENIZER for what is missing, broken, or of a kind that is not read: a tokenizer.json
 *   beside the file serves then
 * @source GGUF specification, "Tokenizer"; tokenizers 0.22, the parts of tokenizer.json
 */
export function readGgufTokenizer(metadata: Metadata): unknown {
  const kind = metadata.get('tokenizer.ggml.model');
  if (kind !== 'gpt2' && kind !== 'llama') throw wrong('tokenizer.ggml.model', kind, '"gpt2" or "llama"');
  const tokens = readTokens(metadata);
  const vocab = new Map(tokens.map((token, id) => [token, id]));
  if (vocab.size !== tokens.length) {
    const twice = tokens.find((token, id) => vocab.get(token) !== id);
    throw wrong('tokenizer.ggml.tokens', twice, 'every token once');
  }
  const types = readNumbers(metadata, 'tokenizer.ggml.token_type', tokens.length);
  // SentencePiece's unknown token is special too: its name in a text stands for it.
  const special: readonly number[] =
    kind === 'gpt2' ? [ggufTokenTypes.control] : [ggufTokenTypes.control, ggufTokenTypes.unknown];
  const added = tokens.flatMap((content, id) => {
    const type = types[id] as number;
    const isAdded = special.includes(type) || type === ggufTokenTypes.userDefined;
    return isAdded ? [addedToken(id, content, special.includes(type))] : [];
  });
  const parts = kind === 'gpt2' ? byteLevelParts(metadata) : spmParts(metadata, vocab, types);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    ...parts,
    post_processor: null,
    model: { type: 'BPE', dropout: null, vocab: Object.fromEntries(vocab), ...parts.model },
  };
}

interface TokenizerParts {
  readonly normalizer: object | null;
  readonly pre_tokenizer: object | null;
  readonly decoder: object;
  readonly model: object;
}

function byteLevelParts(metadata: Metadata): TokenizerParts {
  const pre = metadata.get('tokenizer.ggml.pre');
  const known = typeof pre === 'string' ? preTokenizers.get(pre) : undefined;
  if (known === undefined)
    throw wrong(
      'tokenizer.ggml.pre',
      pre,
      `one of ${[...preTokenizers.keys()].join(', ')}, or a tokenizer.json beside the file`,
    );
  const merges = metadata.get('tokenizer.ggml.merges');
  if (!isTexts(merges)) throw wrong('tokenizer.ggml.merges', merges, 'a list of texts');
  const odd = merges.find((merge) => merge.split(' ').length !== 2);
  if (odd !== undefined) throw wrong('tokenizer.ggml.merges', odd, 'two tokens with a space between');
  return {
    normalizer: known.normalizer,
    pre_tokenizer: { type: 'Sequence', pretokenizers: known.steps },
    decoder: byteLevel('gpt2'),
    model: {
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: known.ignoreMerges,
      merges,
    },
  };
}

/** SentencePiece writes a space as U+2581 and puts one before a text, unless the file says otherwise. */
function spmParts(
  metadata: Metadata,
  vocab: ReadonlyMap<string, number>,
  types: ArrayLike<number>,
): TokenizerParts {
  const scores = readNumbers(metadata, 'tokenizer.ggml.scores', vocab.size);
  const unknown = [...vocab].find(([, id]) => types[id] === ggufTokenTypes.unknown)?.[0] ?? null;
  const prefix = metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const replace = (from: string, to: string): object => ({
    type: 'Replace',
    pattern: { String: from },
    content: to,
  });
  return {
    normalizer: {
      type: 'Sequence',
      normalizers: [...(prefix ? [{ type: 'Prepend', prepend: '\u2581' }] : []), replace(' ', '\u2581')],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        replace('\u2581', ' '),
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      unk_token: unknown,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      merges: spmMerges(vocab, scores),
    },
  };
}

function addedToken(id: number, content: string, special: boolean): object {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/**
 * The chat template of a GGUF file, with the special tokens that it may name; null when it has none.
 * @throws TOKENIZER when it is no text, or too long
 */
export function readGgufChat(metadata: Metadata): ChatTemplateSource | null {
  const template = metadata.get('tokenizer.chat_template');
  if (template === undefined) return null;
  if (typeof template !== 'string' || template.length > limits.chatTemplateCharacters)
    throw wrong(
      'tokenizer.chat_template',
      typeof template === 'string' ? `${template.length} characters` : template,
      `a text of at most ${limits.chatTemplateCharacters} characters`,
    );
  const tokens: Record<string, string> = {};
  const texts = readTokens(metadata);
  for (const [name, key] of Object.entries(templateTokens)) {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`);
    const text = typeof id === 'number' ? texts[id] : undefined;
    if (text !== undefined) tokens[name] = text;
  }
  return { template, tokens };
}

/** Special tokens that templates name, and what GGUF calls them. */
const templateTokens = {
  bos_token: 'bos',
  eos_token: 'eos',
  unk_token: 'unknown',
  sep_token: 'seperator',
  pad_token: 'padding',
} as const;

/** Ends of a text or of a turn, by the names of GGUF. */
const stopNames = ['eos', 'eot', 'eom'] as const;
/** Control tokens that end a turn in models whose files name only the end of a text. */
const turnEnds = ['<|im_end|>', '<|eot_id|>', '<|end|>', '<end_of_turn>'];

/**
 * Tokens after which a model has said all, the first one what training appends.
 * @throws TOKENIZER when the file names none
 */
export function readGgufStopIds(metadata: Metadata): number[] {
  const tokens = readTokens(metadata);
  const types = readNumbers(metadata, 'tokenizer.ggml.token_type', tokens.length);
  const named = stopNames.flatMap((name) => {
    const key = `tokenizer.ggml.${name}_token_id`;
    const id = metadata.get(key);
    if (id === undefined) return [];
    if (typeof id !== 'number' || tokens[id] === undefined)
      throw wrong(key, id, `a token from 0 to ${tokens.length - 1}`);
    return [id];
  });
  const ends = turnEnds
    .map((text) => tokens.indexOf(text))
    .filter((id) => types[id] === ggufTokenTypes.control);
  const ids = [...new Set([...named, ...ends])];
  if (ids.length === 0) throw wrong('tokenizer.ggml.eos_token_id', undefined, 'the token that ends a text');
  return ids;
}

function readTokens(metadata: Metadata): readonly string[] {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  if (!isTexts(tokens) || tokens.length === 0)
    throw wrong('tokenizer.ggml.tokens', tokens, 'a list of texts');
  const long = tokens.find((token) => token.length > MAX_TOKEN_CHARACTERS);
  if (long !== undefined)
    throw wrong('tokenizer.ggml.tokens', long, `tokens of at most ${MAX_TOKEN_CHARACTERS} characters`);
  return tokens;
}

function readNumbers(metadata: Metadata, key: string, count: number): ArrayLike<number> {
  const found = metadata.get(key);
  const numbers =
    found instanceof Int32Array || found instanceof Uint32Array || found instanceof Float32Array;
  if (!numbers || found.length !== count)
    throw wrong(
      key,
      numbers ? `${found.length} numbers` : found,
      `${count} 32-bit numbers, one for each token`,
    );
  return found;
}

const isTexts = (value: GgufValue | undefined): value is readonly string[] => Array.isArray(value);

function wrong(key: string, found: unknown, wanted: string): CodedError {
  const shown = ArrayBuffer.isView(found) ? 'a list of numbers' : quoteValue(found);
  return new CodedError('TOKENIZER', `GGUF metadata "${key}" has ${shown}, wanted ${wanted}`);
}
