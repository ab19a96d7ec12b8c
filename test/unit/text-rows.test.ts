import { encodeRow, maxLineCharacters, parseRow, parseRows, type Tokenizer } from '@fleetlora/shared/text';
import t from 'tap';
import { coded } from '../lib/coded.js';

const row = (prompt: string, completion: string) => JSON.stringify({ prompt, completion });

t.test(
  'rows: blank lines, carriage returns, a byte-order mark and other fields are passed over',
  async (t) => {
    const text = `\ufeff${row('a', 'b')}\r\n\n   \n${JSON.stringify({ prompt: 'c', completion: 'd', id: 3 })}`;
    t.same(parseRows(text), [
      { prompt: 'a', completion: 'b' },
      { prompt: 'c', completion: 'd' },
    ]);
  },
);

t.test('a broken line is named by its number in the file, blank lines counted', async (t) => {
  const bad: readonly [string, string][] = [
    ['{"prompt": "a", "completion"', 'not JSON'],
    ['["a", "b"]', 'wanted an object'],
    ['null', 'wanted an object'],
    ['{"prompt": "a"}', '"completion"'],
    ['{"prompt": 1, "completion": "b"}', '"prompt": 1'],
    [row('', 'b'), '"prompt"'],
    [row('a', ''), '"completion"'],
  ];
  for (const [line, words] of bad)
    t.throws(() => parseRows(`${row('a', 'b')}\n\n${line}\n`), coded('DATA_LINE', 'line 3', words), line);
});

t.test('no rows at all', async (t) => {
  t.throws(() => parseRows(''), { code: 'DATA_EMPTY' });
  t.throws(() => parseRows('\n \n'), { code: 'DATA_EMPTY' });
});

t.test(`a line of ${maxLineCharacters} characters passes, one more does not`, async (t) => {
  const frame = row('', 'b').length;
  t.equal(parseRow(row('x'.repeat(maxLineCharacters - frame), 'b'), 1)?.completion, 'b');
  t.throws(
    () => parseRow(row('x'.repeat(maxLineCharacters - frame + 1), 'b'), 7),
    coded('DATA_LINE', 'line 7'),
  );
});

/** One token a character, its code. */
const characters: Tokenizer = {
  encode: (text) => [...text].map((character) => character.charCodeAt(0)),
  decode: (ids) => String.fromCharCode(...ids),
  vocabSize: 128,
};

t.test('a row that fits: prompt, completion, stop token; targets start after the prompt', async (t) => {
  const { ids, targetStart } = encodeRow(
    characters,
    { prompt: 'AB', completion: 'C' },
    { stopId: 0, maxTokens: 4 },
  );
  t.same([...ids], [65, 66, 67, 0]);
  t.equal(targetStart, 2);
});

t.test('a row that is too long loses prompt tokens at its start', async (t) => {
  const encoded = encodeRow(characters, { prompt: 'ABCD', completion: 'E' }, { stopId: 0, maxTokens: 4 });
  t.same([...encoded.ids], [67, 68, 69, 0]);
  t.equal(encoded.targetStart, 2);
});

t.test('targets and one prompt token must fit: 2 targets into 3 tokens, not into 2', async (t) => {
  const encode = (maxTokens: number) =>
    encodeRow(characters, { prompt: 'ABCD', completion: 'E' }, { stopId: 0, maxTokens });
  t.same([...encode(3).ids], [68, 69, 0]);
  t.throws(() => encode(2), coded('DATA_LINE', 'ABCD', 2));
});
