import { buildPackage, loadAdapterFactors } from '@fleetlora/shared/engine';
import { moduleNames } from '@fleetlora/shared/graph';
import { createFileContentStore, createNodeRuntime } from '@fleetlora/shared/node';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import {
  bufferSource,
  encodeTensorFile,
  readFloats,
  readInts,
  readTensorFile,
  type TensorToWrite,
} from '@fleetlora/shared/weights';
import t from 'tap';
import { largestDifference, modelLogits } from '../lib/run-logits.js';
import { tinyGenomes } from '../lib/tiny-genomes.js';
import { createTinyModel, randomRows, type TinyModel, tinyShape } from '../lib/tiny-model.js';

const ids = Array.from(randomRows(tinyShape, [9], { seed: 3 })[0]?.ids ?? []);

/** The model with zeros in one file wherever `keep` is false. */
async function masked(
  model: TinyModel,
  which: 'base' | 'adapter',
  keep: (name: string, row: number, column: number) => boolean,
): Promise<TinyModel> {
  const { file } = model[which];
  const tensors: TensorToWrite[] = [];
  for (const [name, { dtype, shape }] of file.tensors) {
    if (dtype === 'I32') {
      tensors.push({ name, dtype, shape, data: await readInts(file, name) });
      continue;
    }
    const columns = shape.at(-1) ?? 1;
    const data = (await readFloats(file, name)).map((value, at) =>
      keep(name, Math.floor(at / columns), at % columns) ? value : 0,
    );
    tensors.push({ name, dtype: 'F32', shape, data });
  }
  const bytes = encodeTensorFile(tensors, file.metadata, { alignment: 'page' });
  const fileName = await (await createFileContentStore(model.folder)).put(bytes);
  return { ...model, [which]: { fileName, file: await readTensorFile(bufferSource(bytes)) } };
}

for (const width of [24, 23, 12, 1]) {
  t.test(
    `width ${width} of 24 equals the full width with the channels from ${width} on set to zero`,
    async (t) => {
      const model = await createTinyModel(t.testdir());
      const cut = { ...model, overlay: model.adapter, genome: uniformGenome(2, 4, width) };
      // A channel whose gate and up rows, base and LoRA, are zero is SiLU(0)·0 = 0 for down.
      const channel = /layers\.\d\.(gate|up)$/;
      const factor = /layers\.\d\.(gate|up)\.B$/;
      const base = await masked(model, 'base', (name, row) => !(channel.test(name) && row >= width));
      const both = await masked(
        base,
        'adapter',
        (name, _, column) => !(factor.test(name) && column >= width),
      );
      const full = { ...both, overlay: both.adapter, genome: uniformGenome(2, 4, 24) };
      const difference = largestDifference(await modelLogits(cut, ids), await modelLogits(full, ids));
      t.ok(difference < 1e-5, `${difference} apart`);
    },
  );
}

for (const rank of [4, 3, 1, 0]) {
  t.test(`rank ${rank} of 4 equals rank 4 with the rows from ${rank} on set to zero`, async (t) => {
    const model = await createTinyModel(t.testdir());
    const cut = { ...model, overlay: model.adapter, genome: uniformGenome(2, rank, 18) };
    const zeroed = await masked(model, 'adapter', (_, row) => row < rank);
    const full = { ...zeroed, overlay: zeroed.adapter, genome: uniformGenome(2, 4, 18) };
    const difference = largestDifference(await modelLogits(cut, ids), await modelLogits(full, ids));
    t.ok(difference < 1e-5, `${difference} apart`);
  });
}

t.test('a choice in one layer and group changes the logits, whichever it is', async (t) => {
  const model = await createTinyModel(t.testdir());
  const largest = uniformGenome(2, 4, 24);
  const reference = await modelLogits({ ...model, overlay: model.adapter, genome: largest }, ids);
  for (const layer of [0, 1]) {
    for (const axis of ['qkv', 'o', 'gateUp', 'down', 'width'] as const) {
      const layers = largest.layers.map((genes, index) =>
        index !== layer
          ? genes
          : axis === 'width'
            ? { ...genes, width: 12 }
            : { ...genes, ranks: { ...genes.ranks, [axis]: 1 } },
      );
      const found = await modelLogits(
        { ...model, overlay: model.adapter, genome: { form: 'unmerged', layers } },
        ids,
      );
      t.ok(largestDifference(found, reference) > 1e-2, `layer ${layer} ${axis}`);
    }
  }
});

t.test(
  'factors cut in memory: whole rows are views, narrower ones copies of the right columns',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const factors = await loadAdapterFactors(model.adapter.file, model.shape);
    const genome = tinyGenomes['every group and layer its own rank, widths 12 and 18'] as Genome;
    for (const [layer, { ranks, width }] of genome.layers.entries()) {
      const down = factors.slice(genome, layer, 'down', 'A');
      const stored = await readFloats(model.adapter.file, `layers.${layer}.down.A`, [4, 24]);
      t.same(down.dims, [ranks.down, width]);
      t.same(
        Array.from(down.data),
        Array.from(
          { length: ranks.down * width },
          (_, i) => stored[Math.floor(i / width) * 24 + (i % width)],
        ),
      );
      t.same(factors.slice(genome, layer, 'q', 'B').dims, [ranks.qkv, 64]);
    }
    const feeds = factors.feeds(genome);
    t.equal(Object.keys(feeds).length, 2 * moduleNames.length * 2);
    for (const { dims, data } of Object.values(feeds))
      t.equal(data.length, (dims[0] as number) * (dims[1] as number));
  },
);

t.test('a package holds nothing but what the candidate uses', async (t) => {
  const model = await createTinyModel(t.testdir());
  const genome = tinyGenomes['rank 0 in some groups, widths 24 and 1'] as Genome;
  const source = {
    base: model.base.file,
    adapter: model.adapter.file,
    genome,
    baseDigest: model.base.fileName,
    adapterDigest: model.adapter.fileName,
  };
  const bytes = await buildPackage(createNodeRuntime(), source);
  t.strictSame(bytes, await buildPackage(createNodeRuntime(), source), 'equal inputs give equal bytes');
  const { tensors, metadata } = await readTensorFile(bufferSource(bytes));
  t.same(
    [...tensors.keys()].filter((name) => name.startsWith('layers.0')),
    ['layers.0.o.A', 'layers.0.o.B', 'layers.0.down.A', 'layers.0.down.B'],
  );
  t.same(tensors.get('layers.1.gate.B')?.shape, [1, 1]);
  t.notOk(tensors.has('layers.1.down.A'));
  t.equal(metadata.genome, 'g1:u:0.2.0.1.24/2.0.1.0.1');
  t.equal(metadata.adapterDigest, model.adapter.fileName);
});
