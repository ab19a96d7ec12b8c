import { readFile } from 'node:fs/promises';
import { createTokenizer } from '@fleetlora/shared/text';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { findReference, missingReference } from '../lib/reference.js';
import { tinyTokenizer } from '../lib/tiny-llama.js';

t.test('a tokenizer of single bytes: byte b has id b + 1, the end token id 0', async (t) => {
  const tokenizer = createTokenizer(tinyTokenizer());
  t.equal(tokenizer.vocabSize, 257);
  t.same(tokenizer.encode('A b'), [66, 33, 99]);
  // U+00FC is the bytes c3 bc.
  t.same(tokenizer.encode('ü'), [0xc3 + 1, 0xbc + 1]);
  t.same(tokenizer.encode('<|end|>'), [0]);
  t.same(tokenizer.encode(''), []);
  t.equal(tokenizer.decode([66, 33, 99, 0]), 'A b<|end|>');
  t.equal(tokenizer.decode([]), '');
  const spaces = " a , b ' s  c";
  t.equal(tokenizer.decode(tokenizer.encode(spaces)), spaces, 'spaces are not tidied up');
});

t.test('what is not a tokenizer.json is refused', async (t) => {
  for (const value of [null, 'text', {}, { model: null }, { model: { type: 'BPE', vocab: {}, merges: [] } }])
    t.throws(() => createTokenizer(value), coded('TOKENIZER', 'tokenizer.json'), JSON.stringify(value));
});

t.test(
  'ids and decoded texts equal those of transformers',
  { skip: missingReference('oracle', 'cases.json') },
  async (t) => {
    const read = async (path: string) => JSON.parse(await readFile(findReference(path) as string, 'utf8'));
    const tokenizer = createTokenizer(await read('models/tiny-llama-7m/tokenizer.json'));
    const cases: { text: string; ids: number[]; decoded: string }[] = (await read('oracle/cases.json'))
      .tokenizer;
    t.ok(cases.length > 10);
    for (const { text, ids, decoded } of cases) {
      t.same(tokenizer.encode(text), ids, JSON.stringify(text));
      t.equal(tokenizer.decode(ids), decoded);
    }
  },
);
