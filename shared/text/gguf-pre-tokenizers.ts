/** Contractions, words with the sign before them, `digits`, signs with the line ends after them, spaces. */
const splitPattern = (digits: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
/** Writes bytes as letters, and cuts words as GPT-2 does or not at all. */
export const byteLevel = (regex: 'gpt2' | 'none'): object => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: regex === 'gpt2',
});
const isolated = (pattern: string): object => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
});

/** How a byte-level vocabulary cuts text before merging, by `tokenizer.ggml.pre`. */
export interface PreTokenizer {
  readonly steps: readonly object[];
  readonly normalizer: object | null;
  /** A piece that is a token needs no merges to become one. */
  readonly ignoreMerges: boolean;
}
const llama3: PreTokenizer = {
  steps: [isolated(splitPattern('\\p{N}{1,3}')), byteLevel('none')],
  normalizer: null,
  ignoreMerges: true,
};
/** @source tokenizer.json of the models whose vocabularies llama.cpp names so */
export const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map([
  ['gpt-2', { steps: [byteLevel('gpt2')], normalizer: null, ignoreMerges: false }],
  [
    'smollm',
    {
      // Every numeral apart. Not the part "Digits": the JavaScript tokenizers see only 0 to 9 in it.
      steps: [isolated('\\p{N}'), byteLevel('gpt2')],
      normalizer: null,
      ignoreMerges: false,
    },
  ],
  [
    'qwen2',
    {
      steps: [isolated(splitPattern('\\p{N}')), byteLevel('none')],
      normalizer: { type: 'NFC' },
      ignoreMerges: false,
    },
  ],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
]);
