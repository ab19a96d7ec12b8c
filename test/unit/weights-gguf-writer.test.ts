import {
  bufferSource,
  createBufferSink,
  type GgufFields,
  type GgufTensorToWrite,
  readGguf,
  readGgufRows,
  roundToHalf,
  writeGguf,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';

const tensor = (
  name: string,
  dtype: GgufTensorToWrite['dtype'],
  shape: readonly number[],
  ...pieces: readonly (readonly number[])[]
): GgufTensorToWrite => ({
  name,
  dtype,
  shape,
  async *read() {
    for (const piece of pieces) yield Float32Array.from(piece);
  },
});
async function write(fields: GgufFields, tensors: readonly GgufTensorToWrite[]): Promise<Uint8Array> {
  const sink = createBufferSink();
  await writeGguf(sink, fields, tensors);
  return sink.bytes();
}
const open = async (bytes: Uint8Array) => readGguf(bufferSource(bytes));

t.test('every type of metadata comes back', async (t) => {
  const { metadata, version } = await open(
    await write(
      {
        'a.u32': { u32: 2 ** 32 - 1 },
        'a.f32': { f32: 0.1 },
        'a.yes': { bool: true },
        'a.no': { bool: false },
        'a.text': { text: 'Grüße \u{1f600}' },
        'a.empty': { text: '' },
        'a.texts': { texts: ['', 'a b', '\u2581c'] },
        'a.none': { texts: [] },
        'a.i32s': { i32s: [-1, 2 ** 31 - 1] },
        'a.f32s': { f32s: [0.5, -3] },
      },
      [],
    ),
  );
  t.equal(version, 3);
  t.same(Object.fromEntries(metadata), {
    'a.u32': 2 ** 32 - 1,
    'a.f32': Math.fround(0.1),
    'a.yes': true,
    'a.no': false,
    'a.text': 'Grüße \u{1f600}',
    'a.empty': '',
    'a.texts': ['', 'a b', '\u2581c'],
    'a.none': [],
    'a.i32s': Int32Array.of(-1, 2 ** 31 - 1),
    'a.f32s': Float32Array.of(0.5, -3),
  });
});

t.test('F32 and F16 tensors in pieces; every one begins at a multiple of 32 bytes', async (t) => {
  const file = await open(
    await write({ 'general.architecture': { text: 'llama' } }, [
      tensor('matrix', 'F32', [3, 2], [1, 2], [3, 4, 5, 6]),
      tensor('half', 'F16', [3], [0.1, -2, 65504]),
      tensor('vector', 'F32', [1], [7]),
    ]),
  );
  const read = async (name: string): Promise<number[]> => {
    const found = file.tensors.get(name);
    if (!found) throw new Error(`no ${name}`);
    t.equal(found.offset % 32, 0, name);
    return [...(await readGgufRows(file, found, 0, found.shape[0] ?? 0))];
  };
  t.same(file.tensors.get('matrix')?.shape, [3, 2]);
  t.same(await read('matrix'), [1, 2, 3, 4, 5, 6]);
  t.same(await read('half'), [roundToHalf(0.1), -2, 65504]);
  t.same(await read('vector'), [7]);
  t.equal(file.tensors.get('half')?.type.name, 'F16');
});

t.test('a head of more than 64 KB', async (t) => {
  const texts = Array.from({ length: 9000 }, (_, i) => `token ${i}`);
  const { metadata } = await open(await write({ tokens: { texts }, after: { u32: 5 } }, []));
  t.same(metadata.get('tokens'), texts);
  t.equal(metadata.get('after'), 5);
});

t.test('values that do not fit, and too few or too many of them', async (t) => {
  await t.rejects(
    write({}, [tensor('half', 'F16', [1], [65520])]),
    coded('WEIGHT_DTYPE', '"half"', 65520, 'F16'),
  );
  await t.rejects(write({}, [tensor('short', 'F32', [3], [1, 2])]), coded('BUG', '"short"', 2));
  await t.rejects(write({}, [tensor('long', 'F32', [1], [1], [2])]), coded('BUG', '"long"', 2));
});
