import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { limits } from '@fleetlora/shared/protocol';
import { bufferSource, readFloats, readGguf, readGgufRows, readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { checkout } from '../lib/reference.js';

const data = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(join(checkout, 'test', 'data', name)));
const open = (bytes: Uint8Array) => readGguf(bufferSource(bytes));

t.test('every type of tensor, bit for bit as the gguf package widens it, whole and by rows', async (t) => {
  const file = await open(await data('gguf-every-type.gguf'));
  const expected = await readTensorFile(bufferSource(await data('gguf-every-type.safetensors')));
  t.same([...file.tensors.keys()].sort(), [...expected.tensors.keys()].sort());
  for (const [name, tensor] of file.tensors) {
    const wanted = await readFloats(expected, name, tensor.shape);
    const [rows = 0] = tensor.shape;
    t.same(await readGgufRows(file, tensor, 0, rows), wanted, name);
    const columns = wanted.length / rows;
    t.same(await readGgufRows(file, tensor, 1, rows - 1), wanted.slice(columns), `${name} from row 1 on`);
    await t.rejects(readGgufRows(file, tensor, 1, rows), coded('BUG', rows));
  }
});

t.test('every type of metadata', async (t) => {
  const { metadata, version } = await open(await data('gguf-every-type.gguf'));
  t.equal(version, 3);
  t.equal(metadata.get('one.STRING'), 'Grüße \ufeff');
  t.equal(metadata.get('one.UINT64'), 2n ** 53n + 1n);
  t.equal(metadata.get('one.INT64'), -(2 ** 40));
  t.equal(metadata.get('one.BOOL'), true);
  t.same(metadata.get('list.INT8'), Int8Array.of(-128, 127));
  t.same(metadata.get('list.UINT64'), BigUint64Array.of(2n ** 64n - 1n));
  t.same(metadata.get('list.FLOAT64'), Float64Array.of(0.1));
  t.same(metadata.get('list.STRING'), ['', 'a b', '\u2581c']);
});

/** A head by hand: text as a length and bytes, a number as u32, a bigint as u64. */
function head(...parts: readonly (string | number | bigint)[]): Uint8Array {
  const buffers = parts.map((part) => {
    if (typeof part === 'string') {
      const text = Buffer.from(part);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.length));
      return Buffer.concat([length, text]);
    }
    const bytes = Buffer.alloc(typeof part === 'number' ? 4 : 8);
    if (typeof part === 'number') bytes.writeUInt32LE(part);
    else bytes.writeBigUInt64LE(part);
    return bytes;
  });
  return Buffer.concat([Buffer.from('GGUF'), ...buffers]);
}
/** The head, padded to 32 bytes, and so many bytes of data. */
function fileOf(bytes: Uint8Array, dataBytes: number): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / 32) * 32 + dataBytes);
  whole.set(bytes);
  return whole;
}
const [F32, Q4_0, Q2_K] = [0, 2, 10];
const vector = (name: string, values: bigint, offset: bigint) => [name, 1, values, F32, offset] as const;

t.test('tensors side by side are good; overlap, odd places and the end of the file are not', async (t) => {
  const two = (offset: bigint) => head(3, 2n, 0n, ...vector('a', 8n, 0n), ...vector('b', 8n, offset));
  t.equal((await open(fileOf(two(32n), 64))).tensors.size, 2);
  await t.rejects(open(fileOf(two(32n), 63)), coded('GGUF_TRUNCATED', '"b"', 32));
  await t.rejects(open(fileOf(two(0n), 64)), coded('GGUF_OVERLAP', '"b"', '"a"'));
  await t.rejects(open(fileOf(two(4n), 64)), coded('GGUF_HEADER', '"b"', 4, 32));
});

t.test('heads that are not what they should be name the offset', async (t) => {
  const bad: readonly [string, Uint8Array, ReturnType<typeof coded>][] = [
    ['no GGUF', Buffer.from('GGML1234'), coded('GGUF_HEADER', 'offset 0')],
    ['version 1', head(1, 0n, 0n), coded('GGUF_HEADER', 'offset 4', 'is 1')],
    ['three bytes', Buffer.from('GGU'), coded('GGUF_TRUNCATED', 'offset 0')],
    ['more tensors than bytes', head(3, 2n ** 40n, 0n), coded('GGUF_TRUNCATED', 2 ** 40)],
    ['a count past 2^53', head(3, 2n ** 60n, 0n), coded('GGUF_HEADER', 'offset 8')],
    ['a key of 4 GB', head(3, 0n, 1n, 2n ** 32n, 0, 0), coded('GGUF_TRUNCATED', 'key 0', 2 ** 32)],
    ['a list of 2^40', head(3, 0n, 1n, 'k', 9, 4, 2n ** 40n), coded('GGUF_TRUNCATED', '"k"', 2 ** 40)],
    ['a list of lists', head(3, 0n, 1n, 'k', 9, 9, 1n), coded('GGUF_HEADER', '"k"', 'is 9')],
    ['an unknown type', head(3, 0n, 1n, 'k', 13, 1n), coded('GGUF_HEADER', '"k"', 'is 13')],
    ['a key twice', head(3, 0n, 2n, 'k', 4, 1, 'k', 4, 1), coded('GGUF_HEADER', '"k"', 'second time')],
    ['five dimensions', head(3, 1n, 0n, 'a', 5, 1n, 1n, 1n, 1n, 1n, F32, 0n), coded('GGUF_HEADER', 'is 5')],
    ['half a block', head(3, 1n, 0n, 'a', 1, 16n, Q4_0, 0n), coded('GGUF_HEADER', '"a"', 32)],
    ['a type not read', head(3, 1n, 0n, 'a', 1, 256n, Q2_K, 0n), coded('WEIGHT_DTYPE', '"a"', 'Q2_K')],
    [
      'sizes whose product is past 2^53',
      head(3, 1n, 0n, 'a', 2, 2n ** 40n, 2n ** 40n, F32, 0n),
      coded('GGUF_HEADER', '"a"'),
    ],
    ['alignment 24', head(3, 0n, 1n, 'general.alignment', 4, 24), coded('GGUF_HEADER', 24, 'power of two')],
  ];
  for (const [what, bytes, error] of bad) await t.rejects(open(bytes), error, what);
});

t.test(`a head may have ${limits.ggufHeaderBytes} bytes, one more is refused`, async (t) => {
  // Magic, version and two counts; key, type, element type and count; then one byte an element.
  const fixed = head(3, 0n, 1n, 'k', 9, 0, 0n).length;
  const withList = (count: number) => {
    const bytes = new Uint8Array(fixed + count + 1);
    bytes.set(head(3, 0n, 1n, 'k', 9, 0, BigInt(count)));
    return open(bytes);
  };
  await t.resolves(withList(limits.ggufHeaderBytes - fixed));
  await t.rejects(withList(limits.ggufHeaderBytes - fixed + 1), coded('GGUF_HEADER', limits.ggufHeaderBytes));
});
