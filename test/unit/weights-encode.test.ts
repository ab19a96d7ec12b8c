import {
  bufferSource,
  encodeTensorFile,
  pageBytes,
  readFloats,
  readInts,
  readTensorFile,
  type TensorToWrite,
  tensorFileSize,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const tensors: TensorToWrite[] = [
  { name: 'a', dtype: 'F32', shape: [3], data: Float32Array.of(1, -2, 0.5) },
  { name: 'b', dtype: 'F16', shape: [2, 2], data: Float32Array.of(1, 3.1, -65504, 0) },
  { name: 'c', dtype: 'I32', shape: [2], data: Int32Array.of(5, -6) },
  { name: 'd', dtype: 'U8', shape: [4096], data: new Uint8Array(4096).fill(9) },
  { name: 'e', dtype: 'BF16', shape: [1], data: Float32Array.of(3.140625) },
];
const metadata = { format: 'pt', note: 'ü' };

for (const alignment of ['page', 'none'] as const) {
  t.test(`alignment ${alignment}: what is written is read back, and the size is known before`, async (t) => {
    const bytes = encodeTensorFile(tensors, metadata, { alignment });
    t.equal(bytes.length, tensorFileSize(tensors, metadata, alignment));
    const file = await readTensorFile(bufferSource(bytes));
    t.same(file.metadata, metadata);
    t.same([...file.tensors.keys()], ['a', 'b', 'c', 'd', 'e'], 'padding is not listed');
    t.same([...(await readFloats(file, 'a'))], [1, -2, 0.5]);
    t.same([...(await readFloats(file, 'b'))], [1, 3.099609375, -65504, 0]);
    t.same([...(await readInts(file, 'c'))], [5, -6]);
    t.same([...(await readFloats(file, 'e'))], [3.140625]);
    for (const [name, { offset }] of file.tensors)
      t.equal(offset % (alignment === 'page' ? pageBytes : 2), 0, `${name} at ${offset}`);
  });
}

t.test('a page-aligned file has no holes: explicit U8 tensors fill the gaps', async (t) => {
  const bytes = encodeTensorFile(tensors, metadata, { alignment: 'page' });
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  t.equal((8 + headerBytes) % pageBytes, 0);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  // a: 12 of 4096 bytes; b and c: 8; d fills its page exactly, so nothing stands between d and e.
  t.same(header['__pad.0'], { dtype: 'U8', shape: [4084], data_offsets: [12, 4096] });
  t.same(header['__pad.1'], { dtype: 'U8', shape: [4088], data_offsets: [4104, 8192] });
  t.same(header['__pad.2'], { dtype: 'U8', shape: [4088], data_offsets: [8200, 12288] });
  t.same(header.e.data_offsets, [16384, 16386]);
  t.notOk(header['__pad.3']);
});

t.test(
  'a package-like file byte for byte: 8-byte length, header padded with spaces to 8, data',
  async (t) => {
    const bytes = encodeTensorFile(
      [{ name: 'x', dtype: 'F16', shape: [2], data: Float32Array.of(1, 2) }],
      {},
      { alignment: 'none' },
    );
    const text = '{"__metadata__":{},"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}';
    t.equal(text.length, 72, 'a multiple of 8 already');
    const expected = Buffer.concat([
      Buffer.from([72, 0, 0, 0, 0, 0, 0, 0]),
      Buffer.from(text),
      Buffer.from([0, 0x3c, 0, 0x40]),
    ]);
    t.equal(Buffer.from(bytes).toString('hex'), expected.toString('hex'));
  },
);

t.test('values that do not fit are refused: F16 holds 65519 (as 65504), not 65520', async (t) => {
  const of = (value: number) => () =>
    encodeTensorFile(
      [{ name: 'x', dtype: 'F16', shape: [1], data: Float32Array.of(value) }],
      {},
      { alignment: 'none' },
    );
  t.doesNotThrow(of(65519));
  t.throws(of(65520), coded('WEIGHT_DTYPE', '"x"', 65520, 'F16'));
});

t.test('descriptions that do not fit the data are bugs', async (t) => {
  const encode = (tensor: TensorToWrite) => () => encodeTensorFile([tensor], {}, { alignment: 'none' });
  t.throws(encode({ name: 'x', dtype: 'F32', shape: [2], data: Float32Array.of(1) }), coded('BUG', '"x"', 1));
  t.throws(
    encode({ name: 'x', dtype: 'I32', shape: [1], data: Float32Array.of(1) }),
    coded('BUG', 'Float32Array'),
  );
  const twice: TensorToWrite = { name: 'x', dtype: 'F32', shape: [1], data: Float32Array.of(1) };
  t.throws(() => encodeTensorFile([twice, twice], {}, { alignment: 'none' }), coded('BUG', '"x"'));
});
