import { limits } from '@fleetlora/shared/protocol';
import { bufferSource, readFloats, readInts, readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

/** A safetensors file by hand: length, header text, data. */
function fileOf(header: unknown, dataBytes: number, headerBytes?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const length = headerBytes ?? json.length;
  const bytes = new Uint8Array(8 + Math.max(length, json.length) + dataBytes).fill(0x20, 8, 8 + length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  bytes.fill(0, 8 + length);
  return bytes;
}
const open = (bytes: Uint8Array) => readTensorFile(bufferSource(bytes));
const f32 = (shape: number[], begin: number, end: number) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

t.test('a good file: two tensors in any header order, metadata, trailing spaces', async (t) => {
  const bytes = fileOf(
    {
      __metadata__: { format: 'pt' },
      b: { dtype: 'I32', shape: [2], data_offsets: [8, 16] },
      a: f32([1, 2], 0, 8),
    },
    16,
    256,
  );
  new DataView(bytes.buffer).setFloat32(8 + 256, 1.5, true);
  new DataView(bytes.buffer).setInt32(8 + 256 + 12, -7, true);
  const file = await open(bytes);
  t.same(file.metadata, { format: 'pt' });
  t.same(file.tensors.get('a'), { dtype: 'F32', shape: [1, 2], offset: 264, bytes: 8 });
  t.same([...(await readFloats(file, 'a', [1, 2]))], [1.5, 0]);
  t.same([...(await readInts(file, 'b'))], [0, -7]);
});

t.test('an empty tensor and a file without tensors are good', async (t) => {
  t.equal((await open(fileOf({ a: f32([0, 4], 0, 0), b: f32([1], 0, 4) }, 4))).tensors.size, 2);
  t.equal((await open(fileOf({}, 0))).tensors.size, 0);
});

t.test('truncated files', async (t) => {
  await t.rejects(open(new Uint8Array(7)), coded('SAFETENSORS_TRUNCATED', 7, 8));
  const whole = fileOf({ a: f32([2], 0, 8) }, 8);
  await t.rejects(open(whole.subarray(0, 20)), coded('SAFETENSORS_TRUNCATED', 'header', 12));
  await t.rejects(open(whole.subarray(0, whole.length - 1)), coded('SAFETENSORS_TRUNCATED', '"a"', 8, 7));
  await t.resolves(open(whole));
});

t.test(
  `header length: ${limits.safetensorsHeaderBytes} bytes pass, one more is refused unread`,
  async (t) => {
    await t.resolves(open(fileOf('{}', 0, limits.safetensorsHeaderBytes)));
    const over = new Uint8Array(16);
    new DataView(over.buffer).setBigUint64(0, BigInt(limits.safetensorsHeaderBytes + 1), true);
    await t.rejects(
      open(over),
      coded('SAFETENSORS_HEADER', limits.safetensorsHeaderBytes + 1, limits.safetensorsHeaderBytes),
    );
    over.fill(0xff, 0, 8);
    await t.rejects(open(over), coded('SAFETENSORS_HEADER'), 'a length of 2^64 - 1');
  },
);

t.test('headers that are not what they should be', async (t) => {
  const bad: readonly [string, unknown, number][] = [
    ['not JSON', '{"a":', 0],
    ['a list', '[]', 0],
    ['metadata with a number', { __metadata__: { a: 1 } }, 0],
    ['metadata as a list', { __metadata__: [] }, 0],
    ['an entry that is a text', { a: 'F32' }, 0],
    ['a negative dimension', { a: f32([-1], 0, 4) }, 4],
    ['a dimension with a fraction', { a: f32([1.5], 0, 6) }, 6],
    ['nine dimensions', { a: f32([1, 1, 1, 1, 1, 1, 1, 1, 1], 0, 4) }, 4],
    ['offsets the wrong way round', { a: f32([1], 4, 0) }, 4],
    ['one offset', { a: { dtype: 'F32', shape: [1], data_offsets: [4] } }, 4],
    ['a shape of more bytes than the offsets', { a: f32([2], 0, 4) }, 4],
    ['a shape whose product is past 2^53', { a: f32([2 ** 52, 2 ** 52], 0, 4) }, 4],
    ['a hole between two tensors', { a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12],
    ['bytes after the last tensor', { a: f32([1], 0, 4) }, 5],
  ];
  for (const [what, header, dataBytes] of bad)
    await t.rejects(open(fileOf(header, dataBytes)), { code: 'SAFETENSORS_HEADER' }, what);
  const latin = fileOf('{"__metadata__":{"a":"x"}}', 0);
  await t.resolves(open(latin));
  latin[8 + 22] = 0xff;
  await t.rejects(open(latin), { code: 'SAFETENSORS_HEADER' }, 'a byte that is not UTF-8');
});

t.test('overlapping tensors: by one element refused, end to end allowed', async (t) => {
  await t.rejects(
    open(fileOf({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12)),
    coded('SAFETENSORS_OVERLAP', '"b"', '"a"'),
  );
  await t.rejects(
    open(fileOf({ a: f32([2], 0, 8), b: f32([2], 0, 8) }, 8)),
    { code: 'SAFETENSORS_OVERLAP' },
    'two tensors in one place',
  );
  await t.resolves(open(fileOf({ a: f32([2], 0, 8), b: f32([1], 8, 12) }, 12)));
});

t.test('dtypes: one we do not know, and known ones asked for as something else', async (t) => {
  for (const dtype of ['F64', 'toString', 32])
    await t.rejects(
      open(fileOf({ a: { dtype, shape: [1], data_offsets: [0, 8] } }, 8)),
      coded('WEIGHT_DTYPE', dtype, 'BF16'),
    );
  const file = await open(
    fileOf({ a: { dtype: 'I32', shape: [1], data_offsets: [0, 4] }, b: f32([1], 4, 8) }, 8),
  );
  await t.rejects(readFloats(file, 'a'), coded('WEIGHT_DTYPE', '"a"', 'I32', 'F16'));
  await t.rejects(readInts(file, 'b'), coded('WEIGHT_DTYPE', '"b"', 'F32', 'I32'));
});

t.test('a missing tensor and a wrong shape name found and wanted', async (t) => {
  const file = await open(fileOf({ a: f32([2, 1], 0, 8) }, 8));
  await t.rejects(readFloats(file, 'q'), coded('WEIGHT_MISSING', '"q"'));
  await t.rejects(readFloats(file, 'a', [1, 2]), coded('WEIGHT_SHAPE', '[2, 1]', '[1, 2]'));
});
