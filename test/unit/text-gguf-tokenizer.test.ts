import { createTokenizer, readGgufChat, readGgufStopIds, readGgufTokenizer } from '@fleetlora/shared/text';
import type { GgufValue } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const byteLevel = (pre: string, more: Readonly<Record<string, GgufValue>> = {}) =>
  new Map<string, GgufValue>(
    Object.entries({
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': pre,
      'tokenizer.ggml.tokens': ['<|im_end|>', 'a', 'b', '1', '2', 'Ġ', 'ab', 'Ġab', '12'],
      'tokenizer.ggml.token_type': Int32Array.of(3, 1, 1, 1, 1, 1, 1, 1, 1),
      'tokenizer.ggml.merges': ['a b', 'Ġ ab', '1 2'],
      ...more,
    }),
  );

t.test('byte-level: numerals stay apart with smollm and qwen2, join with llama-bpe and gpt-2', (t) => {
  for (const [pre, digits] of [
    ['smollm', [3, 4]],
    ['qwen2', [3, 4]],
    ['llama-bpe', [8]],
    ['gpt-2', [8]],
  ] as const) {
    const tokenizer = createTokenizer(readGgufTokenizer(byteLevel(pre)));
    t.same(tokenizer.encode('ab ab<|im_end|>'), [6, 7, 0], pre);
    t.same(tokenizer.encode('12'), digits, pre);
    t.equal(tokenizer.decode([6, 7, 0]), 'ab ab<|im_end|>', pre);
  }
  t.end();
});

t.test('SentencePiece: merges follow the scores, unknown characters fall back to bytes', (t) => {
  const pieces: readonly [string, number, number][] = [
    ['<unk>', 2, 0],
    ['</s>', 3, 0],
    ['<0xC3>', 6, 0],
    ['<0xA9>', 6, 0],
    ['bc', 1, -1],
    ['ab', 1, -2],
    ['\u2581', 1, -3],
    ['a', 1, -4],
    ['b', 1, -5],
    ['c', 1, -6],
  ];
  const metadata = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', pieces.map(([text]) => text)],
    ['tokenizer.ggml.token_type', Int32Array.from(pieces, ([, type]) => type)],
    ['tokenizer.ggml.scores', Float32Array.from(pieces, ([, , score]) => score)],
  ]);
  const tokenizer = createTokenizer(readGgufTokenizer(metadata));
  // "bc" scores above "ab", so it takes the b.
  t.same(tokenizer.encode('abc'), [6, 7, 4]);
  t.same(tokenizer.encode('é</s>'), [6, 2, 3, 1]);
  t.equal(tokenizer.decode([6, 7, 4]), 'abc');
  metadata.set('tokenizer.ggml.add_space_prefix', false);
  t.same(createTokenizer(readGgufTokenizer(metadata)).encode('abc'), [7, 4]);
  metadata.set('tokenizer.ggml.scores', new Float32Array(pieces.length).fill(Number.NaN));
  t.throws(() => readGgufTokenizer(metadata), coded('TOKENIZER', 'NaN'));
  t.end();
});

t.test('what is missing or broken is named', (t) => {
  const bad: readonly [Readonly<Record<string, GgufValue>>, readonly (string | number)[]][] = [
    [{ 'tokenizer.ggml.model': 'bert' }, ['tokenizer.ggml.model', 'bert', 'llama']],
    [{ 'tokenizer.ggml.pre': 'tekken' }, ['tokenizer.ggml.pre', 'tekken', 'smollm']],
    [{ 'tokenizer.ggml.tokens': Array(9).fill('a') }, ['tokens', 'every token once']],
    [{ 'tokenizer.ggml.token_type': Int32Array.of(1) }, ['token_type', 1, 9]],
    [{ 'tokenizer.ggml.merges': ['a b c'] }, ['merges', 'a b c']],
  ];
  for (const [more, words] of bad)
    t.throws(() => readGgufTokenizer(byteLevel('smollm', more)), coded('TOKENIZER', ...words));
  t.end();
});

t.test('stop tokens and chat template', (t) => {
  const named = byteLevel('smollm', {
    'tokenizer.ggml.eos_token_id': 6,
    'tokenizer.chat_template': '{{ eos_token }}',
  });
  t.same(readGgufStopIds(named), [6, 0], 'the end of the text, then that of a turn');
  t.same(readGgufChat(named), { template: '{{ eos_token }}', tokens: { eos_token: 'ab' } });
  t.equal(readGgufChat(byteLevel('smollm')), null);
  t.throws(
    () => readGgufStopIds(byteLevel('smollm', { 'tokenizer.ggml.eos_token_id': 9 })),
    coded('TOKENIZER', 'eos_token_id', 9),
  );
  t.end();
});
