import { CodedError } from '../errors.js';
import type { GgufFields } from '../weights/gguf/gguf-writer.js';
import type { ChatTemplateSource } from './chat-template.js';
import { preTokenizers } from './gguf-pre-tokenizers.js';
import { ggufTokenTypes } from './gguf-token-types.js';

type Fields = Readonly<Record<string, unknown>>;
const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const refuse = (what: string): CodedError =>
  new CodedError('TOKENIZER', `the tokenizer cannot be written into a GGUF file: ${what}`);

/**
 * The metadata by which llama.cpp reads and writes the tokens of a tokenizer.json: byte-level BPE
 * with a way of cutting text that llama.cpp has a name for, and SentencePiece BPE.
 * @param tokenizer value of a tokenizer.json
 * @param vocab rows of the embedding: ids above the tokenizer's become unused tokens
 * @throws TOKENIZER for any other kind: llama.cpp would cut the same text differently
 * @source GGUF specification, "Tokenizer"; llama.cpp, llama-vocab.cpp
 */
export function writeGgufTokenizer(
  tokenizer: unknown,
  about: {
    readonly vocab: number;
    readonly stopIds: readonly number[];
    readonly chat: ChatTemplateSource | null;
  },
): GgufFields {
  const root = isRecord(tokenizer) ? tokenizer : {};
  const model = isRecord(root.model) ? root.model : {};
  if (model.type !== 'BPE' || !isRecord(model.vocab) || !Array.isArray(model.merges))
    throw refuse(`its model is ${JSON.stringify(model.type)}, wanted BPE`);
  const merges = model.merges.map((merge) => (Array.isArray(merge) ? merge.join(' ') : String(merge)));
  const { texts, types } = listTokens(model.vocab, root.added_tokens, about.vocab);
  const kind = model.byte_fallback === true ? 'llama' : 'gpt2';
  const [eos = 0, eot] = about.stopIds;
  const first = firstToken(root.post_processor);
  const bos = idOf(texts, first ?? about.chat?.tokens.bos_token) ?? eos;
  return {
    'tokenizer.ggml.model': { text: kind },
    ...(kind === 'gpt2'
      ? { 'tokenizer.ggml.pre': { text: namePreTokenizer(root) }, 'tokenizer.ggml.merges': { texts: merges } }
      : spmFields(root, model, texts, types, merges)),
    'tokenizer.ggml.tokens': { texts },
    'tokenizer.ggml.token_type': { i32s: types },
    'tokenizer.ggml.bos_token_id': { u32: bos },
    'tokenizer.ggml.eos_token_id': { u32: eos },
    ...(eot !== undefined && { 'tokenizer.ggml.eot_token_id': { u32: eot } }),
    'tokenizer.ggml.add_bos_token': { bool: first !== null },
    'tokenizer.ggml.add_eos_token': { bool: false },
    ...(about.chat && { 'tokenizer.chat_template': { text: about.chat.template } }),
  };
}

/** Texts and types by id. */
function listTokens(vocab: Fields, added: unknown, size: number): { texts: string[]; types: number[] } {
  const texts: (string | undefined)[] = Array.from({ length: size });
  const types: number[] = Array(size).fill(ggufTokenTypes.normal);
  const put = (id: unknown, text: string): number => {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= size)
      throw refuse(
        `token ${JSON.stringify(text).slice(0, 40)} has id ${String(id)}, the model embeds ${size}`,
      );
    texts[id as number] = text;
    return id as number;
  };
  for (const [text, id] of Object.entries(vocab)) put(id, text);
  for (const token of Array.isArray(added) ? added : []) {
    if (!isRecord(token) || typeof token.content !== 'string') continue;
    types[put(token.id, token.content)] =
      token.special === true ? ggufTokenTypes.control : ggufTokenTypes.userDefined;
  }
  const filled = texts.map((text, id) => {
    if (text !== undefined) return text;
    types[id] = ggufTokenTypes.unused;
    return `[PAD${id}]`;
  });
  return { texts: filled, types };
}

/**
 * Scores that make SentencePiece's merging take the merges in their order: the earlier, the higher.
 * What no merge makes is never asked for its score.
 */
function spmFields(
  root: Fields,
  model: Fields,
  texts: readonly string[],
  types: number[],
  merges: readonly string[],
): GgufFields {
  const rank = new Map<string, number>();
  for (const [index, merge] of merges.entries()) {
    const made = merge.replace(' ', '');
    if (!rank.has(made)) rank.set(made, index);
  }
  texts.forEach((text, id) => {
    if (/^<0x[0-9A-F]{2}>$/.test(text)) types[id] = ggufTokenTypes.byte;
    if (text === model.unk_token) types[id] = ggufTokenTypes.unknown;
  });
  return {
    'tokenizer.ggml.pre': { text: 'default' },
    'tokenizer.ggml.scores': { f32s: texts.map((text) => -(rank.get(text) ?? merges.length)) },
    'tokenizer.ggml.add_space_prefix': {
      bool: JSON.stringify(root.normalizer ?? null).includes('"Prepend"'),
    },
  };
}

/** Its name in `preTokenizers`, by what it does. */
function namePreTokenizer(root: Fields): string {
  const found = describeSteps(root.pre_tokenizer);
  for (const [name, { steps }] of preTokenizers)
    if (describeSteps({ type: 'Sequence', pretokenizers: steps }) === found) return name;
  throw refuse(
    `it cuts text by ${found.slice(0, 200)}, wanted one of ${[...preTokenizers.keys()].join(', ')}`,
  );
}

/** What a pre-tokenizer does, without what has no effect on the tokens. */
function describeSteps(value: unknown): string {
  const flat = (step: unknown): Fields[] =>
    isRecord(step)
      ? step.type === 'Sequence' && Array.isArray(step.pretokenizers)
        ? step.pretokenizers.flatMap(flat)
        : [step]
      : [];
  const steps = flat(value).map((step) => {
    switch (step.type) {
      case 'Digits':
        return step.individual_digits === true ? 'split isolated \\p{N}' : 'split digits';
      case 'Split': {
        const pattern = isRecord(step.pattern) ? (step.pattern.Regex ?? step.pattern.String) : step.pattern;
        return `split ${String(step.behavior).toLowerCase()} ${step.invert === true ? 'not ' : ''}${String(pattern)}`;
      }
      case 'ByteLevel':
        return `bytes${step.use_regex === false ? '' : ' of words'}${step.add_prefix_space === true ? ' after a space' : ''}`;
      default:
        return String(step.type);
    }
  });
  return steps.join(', ');
}

/** The special token that a post-processor puts before a text, or null. */
function firstToken(value: unknown): string | null {
  if (!isRecord(value)) return null;
  if (value.type === 'Sequence' && Array.isArray(value.processors))
    return value.processors.map(firstToken).find((token) => token !== null) ?? null;
  const [first] = value.type === 'TemplateProcessing' && Array.isArray(value.single) ? value.single : [];
  const special = isRecord(first) && isRecord(first.SpecialToken) ? first.SpecialToken.id : null;
  return typeof special === 'string' ? special : null;
}

function idOf(texts: readonly string[], token: string | null | undefined): number | null {
  const id = token === null || token === undefined ? -1 : texts.indexOf(token);
  return id < 0 ? null : id;
}
