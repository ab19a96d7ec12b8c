import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPackage, openDecoder, resolveCandidate } from '@fleetlora/shared/engine';
import {
  buildInferenceGraph,
  buildTrainingGraph,
  moduleNames,
  readModelShape,
} from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import {
  bufferSource,
  readFloats,
  readTensorFile,
  type TensorEntry,
  type TensorFile,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { largestDifference, modelLogits, runLogits } from '../lib/run-logits.js';
import { merged } from '../lib/tiny-genomes.js';
import { createTinyModel, type TinyModel, tinyShape } from '../lib/tiny-model.js';

const largest = uniformGenome(2, 4, 24);
const ids = [3, 1, 4, 1, 5, 9, 2, 6];
const graphOf = (model: TinyModel, genome: Genome | null = largest): Uint8Array =>
  buildInferenceGraph({
    ...resolveCandidate({ ...model, overlay: genome && model.adapter, genome }),
    head: 'logits',
    cachePositions: 16,
  });

/** The file with other entries or metadata; its bytes stay. */
const withTensors = (
  file: TensorFile,
  change: (name: string, entry: TensorEntry) => TensorEntry | null,
): TensorFile => ({
  ...file,
  tensors: new Map(
    [...file.tensors].flatMap(([name, entry]) => {
      const changed = change(name, entry);
      return changed ? [[name, changed] as const] : [];
    }),
  ),
});
const withMetadata = (file: TensorFile, metadata: Record<string, string>): TensorFile => ({
  ...file,
  metadata: { ...file.metadata, ...metadata },
});

t.test('a graph names its weights by file and offset and holds none of them', async (t) => {
  const model = await createTinyModel(t.testdir());
  const graph = Buffer.from(graphOf(model));
  for (const file of [model.base, model.adapter]) {
    t.ok(graph.includes(file.fileName));
    for (const [name, entry] of file.file.tensors) {
      if (entry.dtype !== 'F32' || name.endsWith('Order')) continue;
      t.ok(graph.includes(String(entry.offset)), `offset of ${name}`);
      t.equal(entry.offset % 4096, 0, `${name} starts a page`);
      const values = await readFloats(file.file, name);
      t.notOk(graph.includes(Buffer.from(values.buffer, values.byteOffset, 16)), `values of ${name}`);
    }
  }
});

t.test(
  'a model with 1,000 times the FFN and vocabulary makes a graph of the same size, to a few digits',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const shape = { ...tinyShape, ffnWidth: 24_000, vocab: 50_000 };
    const grow = (size: number): number => (size === 24 ? 24_000 : size === 50 ? 50_000 : size);
    const grown = (file: TensorFile): TensorFile =>
      withMetadata(
        withTensors(file, (_, entry) => ({ ...entry, shape: entry.shape.map(grow) })),
        { shape: JSON.stringify(shape) },
      );
    const big: TinyModel = {
      ...model,
      base: { ...model.base, file: grown(model.base.file) },
      adapter: { ...model.adapter, file: grown(model.adapter.file) },
    };
    const small = graphOf(model).length;
    const large = graphOf(big, uniformGenome(2, 4, 24_000)).length;
    t.ok(large - small < 512, `${small} and ${large} bytes`);
    t.ok(small < 32 * 1024, `${small} bytes`);
    const training = (of: TinyModel, shape = tinyShape): number =>
      buildTrainingGraph({
        shape,
        base: of.base,
        rankMax: 4,
        loraScale: 2,
        modules: moduleNames,
        elastic: Array.from({ length: 2 }, () => ({ width: true, kvHeads: true, skip: true })),
        teacher: 'probabilities',
      }).length;
    t.ok(training(big, shape) - training(model) < 512);
  },
);

t.test(
  'equal inputs give equal graphs; the same graph over another folder takes that folder’s weights',
  async (t) => {
    const place = t.testdir();
    const model = await createTinyModel(join(place, 'one'), { seed: 1 });
    t.strictSame(graphOf(model), graphOf(model));
    const other = await createTinyModel(join(place, 'two'), { seed: 2 });
    const folder = join(other.folder, 'swapped');
    await mkdir(folder);
    await copyFile(join(other.folder, other.base.fileName), join(folder, model.base.fileName));
    const resolved = resolveCandidate({ ...model, overlay: null, genome: null });
    const swapped = await runLogits({ resolved, folder, ids });
    const wanted = await modelLogits({ ...other, overlay: null, genome: null }, ids);
    t.strictSame(swapped, wanted);
    t.ok(largestDifference(swapped, await runLogits({ resolved, folder: model.folder, ids })) > 0.1);
  },
);

t.test('a missing tensor, a wrong type and a wrong shape are named before a session is made', async (t) => {
  const model = await createTinyModel(t.testdir());
  const broken = (change: Parameters<typeof withTensors>[1]): TinyModel => ({
    ...model,
    base: { ...model.base, file: withTensors(model.base.file, change) },
  });
  const at = 'layers.1.up';
  t.throws(() => graphOf(broken((name, entry) => (name === at ? null : entry))), coded('WEIGHT_MISSING', at));
  t.throws(
    () => graphOf(broken((name, entry) => (name === at ? { ...entry, dtype: 'F16' } : entry))),
    coded('WEIGHT_DTYPE', at, 'F16', 'F32'),
  );
  for (const shape of [[24, 17], [24], [23, 16], [24, 16, 1]])
    t.throws(
      () => graphOf(broken((name, entry) => (name === at ? { ...entry, shape } : entry))),
      coded('WEIGHT_SHAPE', at, `[${shape.join(', ')}]`, '[24, 16]'),
    );
  graphOf(broken((name, entry) => (name === at ? { ...entry, shape: [25, 16] } : entry)));
});

t.test('rank 4 and width 24 are the largest that the files hold; 5 and 25 are refused', async (t) => {
  const model = await createTinyModel(t.testdir());
  graphOf(model, largest);
  t.throws(
    () => graphOf(model, uniformGenome(2, 5, 24)),
    coded('GENOME_OUTSIDE_SPACE', 'layer 0', 'rank 5', 'largest is 4'),
  );
  t.throws(
    () => graphOf(model, uniformGenome(2, 4, 25)),
    coded('GENOME_OUTSIDE_SPACE', 'layer 0', 'width 25', '1 to 24'),
  );
});

t.test('a package as shipped is half precision and must be expanded first', async (t) => {
  const model = await createTinyModel(t.testdir());
  for (const genome of [largest, merged(largest)]) {
    const bytes = await buildPackage(createNodeRuntime(), {
      base: model.base.file,
      adapter: model.adapter.file,
      genome,
      baseDigest: model.base.fileName,
      adapterDigest: model.adapter.fileName,
    });
    const overlay = { fileName: 'package', file: await readTensorFile(bufferSource(bytes)) };
    const opened = openDecoder(
      createNodeRuntime(),
      { ...model, overlay, genome },
      { threads: 1, positions: 8 },
    );
    await t.rejects(opened, coded('WEIGHT_DTYPE', 'layers.0.q', 'F16', 'F32'));
  }
});

t.test('a merged candidate needs its merged package: the super-adapter itself is refused', async (t) => {
  const model = await createTinyModel(t.testdir());
  t.throws(
    () => resolveCandidate({ ...model, overlay: model.adapter, genome: merged(largest) }),
    coded('BUG', 'merged', 'fleetlora-adapter'),
  );
});

t.test('model shape: the layout version, the architecture and every size are checked', async (t) => {
  const { base } = await createTinyModel(t.testdir());
  t.same(readModelShape(base.file), tinyShape);
  const changed = (metadata: Record<string, string>) => () =>
    readModelShape(withMetadata(base.file, metadata));
  const shape = (change: Record<string, unknown>) =>
    changed({ shape: JSON.stringify({ ...tinyShape, ...change }) });
  t.throws(changed({ layoutVersion: '3' }), coded('LAYOUT_VERSION', 'version "3"', 'wanted 1 or 2'));
  t.throws(
    () => readModelShape({ ...base.file, metadata: {} }),
    coded('LAYOUT_VERSION', 'missing', 'wanted 1 or 2'),
  );
  for (const text of ['', '{', 'null', '7', '[]'])
    t.throws(changed({ shape: text }), { code: /MODEL_CONFIG|UNSUPPORTED_ARCHITECTURE/ });
  t.throws(shape({ architecture: 'mamba' }), coded('UNSUPPORTED_ARCHITECTURE', 'mamba', 'llama'));
  for (const layers of [0, -1, 1.5, '2', null, 2 ** 24 + 1])
    t.throws(shape({ layers }), coded('MODEL_CONFIG', 'layers', String(layers)));
  shape({ layers: 2 ** 24 })();
  t.throws(shape({ kvHeads: 3 }), coded('MODEL_CONFIG', 'kvHeads = 3', 'heads = 4'));
  for (const rmsEpsilon of [-1, '1e-5', null])
    t.throws(shape({ rmsEpsilon }), coded('MODEL_CONFIG', 'rmsEpsilon'));
  t.throws(shape({ tiedHead: 'yes' }), coded('MODEL_CONFIG', 'tiedHead', 'yes'));
});

t.test('a super-adapter without its record is refused', async (t) => {
  const model = await createTinyModel(t.testdir());
  for (const [metadata, found] of [
    [{ rankMax: '0' }, 'rankMax = "0"'],
    [{ rankMax: '1.5' }, 'rankMax = "1.5"'],
    [{ alpha: '-1' }, 'alpha = "-1"'],
    [{ alpha: 'x' }, 'alpha = "x"'],
  ] as const) {
    const overlay = { ...model.adapter, file: withMetadata(model.adapter.file, metadata) };
    t.throws(() => resolveCandidate({ ...model, overlay, genome: largest }), coded('ADAPTER_CONFIG', found));
  }
});
