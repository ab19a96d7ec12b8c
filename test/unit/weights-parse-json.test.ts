import { parseJson, quoteValue } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const place = { what: 'the header', offset: 8, code: 'SAFETENSORS_HEADER' } as const;
const parse = (text: string, depth = 3, values = 10): unknown =>
  parseJson(new TextEncoder().encode(text), place, { depth, values });
const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

t.test('a text within its ceilings is what JSON.parse makes of it', async (t) => {
  for (const text of ['{"a":[1,2,"x"]}', ' null ', '"[[[[[["', '"a\\"[[[[[["', '[]'])
    t.same(parse(text), JSON.parse(text), text);
});

t.test('depth: 3 passes, 4 is refused at its byte, also where the text is no JSON', async (t) => {
  t.same(parse(deep(3)), [[[]]]);
  t.throws(() => parse(deep(4)), coded('SAFETENSORS_HEADER', '4 deep', 'byte 11', 'at most 3'));
  t.throws(() => parse('[{'.repeat(2)), coded('SAFETENSORS_HEADER', '4 deep', 'byte 11'));
  t.throws(() => parse('['.repeat(16 * 1024 * 1024)), coded('SAFETENSORS_HEADER', '4 deep'));
});

t.test('values: 10 pass, 11 are refused at their byte; commas in strings are none', async (t) => {
  // The text itself, its list and eight commas.
  t.same(parse('[0,0,0,0,0,0,0,0,0]'), Array(9).fill(0));
  t.throws(() => parse('[0,0,0,0,0,0,0,0,0,0]'), coded('SAFETENSORS_HEADER', '11 values', 'byte 26'));
  t.same(parse(`["${','.repeat(100)}"]`), [','.repeat(100)]);
});

t.test('what is not JSON or not UTF-8 names its bytes', async (t) => {
  for (const text of ['{"a":', '', '"open', '"open\\', '[1,]', ']]]]'])
    t.throws(() => parse(text), coded('SAFETENSORS_HEADER', 'the header', 'byte'), text);
  t.throws(
    () => parseJson(Uint8Array.of(0x22, 0xff, 0x22), place, { depth: 3, values: 10 }),
    coded('SAFETENSORS_HEADER', 'bytes 8 to 10'),
  );
});

t.test('values in messages: short, whatever they are', async (t) => {
  const cases: readonly [unknown, string][] = [
    [undefined, 'missing'],
    [null, 'null'],
    [1.5, '1.5'],
    ['a"b', '"a\\"b"'],
    [[], '[]'],
    [[1, 'x', null], '[1,"x",null]'],
    [[1, 2, 3, 4, 5, 6, 7], '[1,2,3,4,5,6,… 7 in all]'],
    [[[1]], '[[…]]'],
    [{ a: 1, b: { c: 2 } }, '{"a":1,"b":{…}}'],
    [{ toString: 1 }, '{"toString":1}'],
  ];
  for (const [value, wanted] of cases) t.equal(quoteValue(value), wanted);
  for (const value of ['x'.repeat(1000), Array(1000).fill('x'.repeat(50)), { ['x'.repeat(1000)]: 1 }])
    t.equal(quoteValue(value).length, 80);
  const nested = JSON.parse(deep(100_000)) as unknown;
  t.throws(() => JSON.stringify(nested), RangeError, 'what reaches deeper than the stack');
  t.equal(quoteValue(nested), '[[…]]');
});
