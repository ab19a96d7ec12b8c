import { readBaseLayout } from '@fleetlora/shared/graph';
import { presets } from '@fleetlora/shared/space';
import {
  bufferSource,
  chooseChunks,
  createBufferSink,
  dequantiseBlocks,
  quantiseBase,
  quantiseBlocks,
  readFloats,
  readTensorFile,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { readFullWeights } from '../lib/full-weights.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { createTinyModel } from '../lib/tiny-model.js';

const block = (...values: number[]): Float32Array =>
  Float32Array.from({ length: 32 }, (_, i) => values[i] ?? 0);

t.test('q8: the largest magnitude becomes 127 steps, zero is 128', (t) => {
  const { q, scale } = quantiseBlocks(block(-2.54, 1.27, 0.02), 'q8');
  t.equal(q.length, 32);
  t.ok(Math.abs(Math.abs(scale[0] as number) - 0.02) < 1e-8);
  const sign = Math.sign(scale[0] as number);
  t.same([...q.subarray(0, 4)], [128 - 127 * sign, 128 + 64 * sign, 128 + sign, 128]);
  t.end();
});

t.test('q4: weights on a grid of 16 steps come back as they were, the even one in the low half', (t) => {
  const grid = block(-8, 7, 1, -3, 0, 5);
  const { q, scale } = quantiseBlocks(grid, 'q4');
  t.equal(q.length, 16);
  t.same([...q.subarray(0, 4)], [0x0 | (15 << 4), 9 | (5 << 4), 8 | (13 << 4), 0x88]);
  t.same([...dequantiseBlocks({ q, scale }, 'q4')], [...grid]);
  t.end();
});

t.test('zeros stay zero, whatever is beside them', (t) => {
  for (const precision of ['q8', 'q4'] as const) {
    const found = dequantiseBlocks(quantiseBlocks(block(0, 0.37, 0, -1.9), precision), precision);
    t.same([found[0], found[2], found[31]], [0, 0, 0]);
    t.same([...dequantiseBlocks(quantiseBlocks(block(), precision), precision)], Array(32).fill(0));
  }
  t.end();
});

t.test('31 weights, and one that is not finite, are refused by name', (t) => {
  t.throws(() => quantiseBlocks(new Float32Array(31), 'q4'), coded('WEIGHT_SHAPE', 31, 32));
  t.throws(() => quantiseBlocks(block(1, Number.NaN), 'q8'), coded('WEIGHT_NOT_FINITE', 'weight 1', 'NaN'));
  t.throws(
    () => dequantiseBlocks({ q: new Uint8Array(15), scale: new Float32Array(1) }, 'q4'),
    coded('WEIGHT_SHAPE', 15, 16),
  );
  t.end();
});

t.test(
  'chunks of 32 to 1536 channels: half and four eighths, in whole blocks, cut at further shares',
  (t) => {
    t.same(chooseChunks(1536), [768, 192, 192, 192, 192]);
    t.same(chooseChunks(1536, [100, 37.5, 75]), [576, 192, 192, 192, 192, 192]);
    // Of 3 blocks, half ends within the second one.
    t.same(chooseChunks(96), [64, 32]);
    t.same(chooseChunks(32), [32]);
    // Every width of LoNAS ends a chunk.
    let end = 0;
    const ends = chooseChunks(1536).map((size) => {
      end += size;
      return end;
    });
    t.same(
      ends,
      presets.lonas?.widthPercents.map((percent) => (1536 * percent) / 100).sort((a, b) => a - b),
    );
    t.end();
  },
);

t.test(
  'a quantised base stands for the fp32 one within half a step and keeps all else as it is',
  async (t) => {
    const model = await createTinyModel(t.testdir(), { shape: { ...quantisableShape, tiedHead: false } });
    for (const [precision, steps] of [
      ['q8', 127],
      ['q4', 6.3],
    ] as const) {
      const { base } = await quantiseTinyModel(model, precision);
      const layout = readBaseLayout(base.file);
      t.equal(layout.precision, precision);
      t.equal(layout.tablePrecision, 'q8', 'of embedding and head');
      t.equal(layout.sourceBaseDigest, model.base.fileName);
      t.same(layout.ffnChunks, [64, 32, 32]);
      const full = await readFullWeights(base.file);
      for (const [name, entry] of model.base.file.tensors) {
        if (entry.dtype !== 'F32') {
          const kept = base.file.tensors.get(name);
          t.same(kept?.shape, entry.shape, name);
          continue;
        }
        const wanted = await readFloats(model.base.file, name);
        const found = full.get(name) ?? new Float32Array();
        t.equal(found.length, wanted.length, name);
        const largest = Math.max(...wanted.map(Math.abs));
        const isMatrix = /^(embed|head|layers\.\d+\.(q|k|v|o|gate|up|down))$/.test(name);
        // Half a step of the coarsest scale that any block of the matrix may have, clipping included.
        const isTable = name === 'embed' || name === 'head';
        const bound = isMatrix ? largest / (isTable ? 127 : steps) : 0;
        const off = Math.max(...wanted.map((value, i) => Math.abs(value - (found[i] as number))));
        t.ok(off <= bound, `${precision} ${name} is ${off} off, at most ${bound}`);
      }
    }
  },
);

t.test('a base that is quantised already, odd sides and chunks that do not fit are refused', async (t) => {
  const model = await createTinyModel(t.testdir(), { shape: quantisableShape });
  const quantise = (file: typeof model.base.file, chunks?: number[]) =>
    quantiseBase({ file, digest: model.base.fileName }, 'q8', createBufferSink(), chunks);
  const q4 = await quantiseTinyModel(model, 'q4');
  await t.rejects(quantise(q4.base.file), coded('MODEL_CONFIG', 'q4', 'fp32'));
  for (const chunks of [[64, 32], [100, 28], [], [128, 32]])
    await t.rejects(quantise(model.base.file, chunks), coded('MODEL_CONFIG', 'ffnChunks', 128));
  const odd = await createTinyModel(t.testdir(), { shape: { ...quantisableShape, hidden: 48 } });
  await t.rejects(
    quantiseBase({ file: odd.base.file, digest: odd.base.fileName }, 'q8', createBufferSink()),
    coded('UNSUPPORTED_ARCHITECTURE', 'hidden', 48, 32),
  );
  const sink = createBufferSink();
  await quantiseBase({ file: model.base.file, digest: model.base.fileName }, 'q8', sink, [128]);
  t.same(readBaseLayout(await readTensorFile(bufferSource(sink.bytes()))).ffnChunks, [128]);
});

t.test('the precision of embedding and head is read: that of all else unless it is told', async (t) => {
  const model = await createTinyModel(t.testdir(), { shape: quantisableShape });
  const { file } = (await quantiseTinyModel(model, 'q4')).base;
  const read = (tablePrecision: string | undefined) => {
    const { tablePrecision: _own, ...metadata } = file.metadata;
    return readBaseLayout({
      ...file,
      metadata: { ...metadata, ...(tablePrecision !== undefined && { tablePrecision }) },
    }).tablePrecision;
  };
  t.equal(read(undefined), 'q4');
  t.equal(read('q8'), 'q8');
  t.throws(() => read('fp32'), coded('MODEL_CONFIG', 'q4', 'fp32'));
  t.throws(() => read('q5'), coded('MODEL_CONFIG', 'tablePrecision', 'q5'));
});
