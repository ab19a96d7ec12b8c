import { mergeBase, mergeQuantised } from '@fleetlora/shared/compress';
import {
  buildPackage,
  openLoopDecoder,
  openScorer,
  openSharedDecoder,
  resolveCandidate,
} from '@fleetlora/shared/engine';
import { groupOf, type ModuleName, moduleDims, moduleNames, type WeightFile } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { type Genome, skippedLayer, uniformGenome } from '@fleetlora/shared/space';
import { dequantiseBase, readAdapterFacts, readFloats } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { adapterFor, pruneTinyModel, putFile } from '../lib/compressed-models.js';
import { readFullWeights } from '../lib/full-weights.js';
import { readPlainLlama } from '../lib/plain-llama.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { largestDifference, modelLogits } from '../lib/run-logits.js';
import { tempFolder } from '../lib/temp-folder.js';
import { merged as inMergedForm } from '../lib/tiny-genomes.js';
import { createTinyModel, randomRows, type TinyModel } from '../lib/tiny-model.js';

const runtime = createNodeRuntime();

/** Candidates of the two-layer model that differ in every way that a merge sees. */
const candidates: Readonly<Record<string, Genome>> = {
  'all of the adapter': uniformGenome(2, 4, 24),
  'mixed ranks, some 0': {
    form: 'unmerged',
    layers: [
      { ranks: { qkv: 3, o: 0, gateUp: 2, down: 4 }, width: 24 },
      { ranks: { qkv: 0, o: 4, gateUp: 0, down: 1 }, width: 24 },
    ],
  },
  'cut in channels and heads': {
    form: 'unmerged',
    layers: [
      { ranks: { qkv: 3, o: 1, gateUp: 2, down: 4 }, width: 12, kvHeads: 1 },
      { ranks: { qkv: 1, o: 4, gateUp: 3, down: 2 }, width: 18 },
    ],
  },
  'a layer left out': { form: 'unmerged', layers: [skippedLayer, ...uniformGenome(1, 2, 24).layers] },
};

/** W + s·B·A in double precision where the candidate has the weight, where `keeps` allows it; as stored. */
async function plainMerge(
  { shape, adapter }: TinyModel,
  weights: ReadonlyMap<string, Float32Array>,
  genome: Genome,
  keeps: (weight: number) => boolean,
): Promise<Map<string, Float64Array>> {
  const { alpha, rankMax } = readAdapterFacts(adapter.file);
  const merged = new Map<string, Float64Array>();
  for (const [layer, genes] of genome.layers.entries())
    for (const module of moduleNames) {
      const name = `layers.${layer}.${module}`;
      const [input, output] = moduleDims(shape, module);
      const a = await readFloats(adapter.file, `${name}.A`);
      const b = await readFloats(adapter.file, `${name}.B`);
      const stored = weights.get(name) as Float32Array;
      const kept = (side: ModuleName[], size: number, share: number): number =>
        side.includes(module) ? share : size;
      const heads = (genes.kvHeads ?? shape.kvHeads) / shape.kvHeads;
      const inputs = kept(['o'], kept(['down'], input, genes.width), input * heads);
      const outputs = kept(['q', 'k', 'v'], kept(['gate', 'up'], output, genes.width), output * heads);
      const whole = new Float64Array(stored.length);
      for (let o = 0; o < output; o++)
        for (let i = 0; i < input; i++) {
          const at = module === 'down' ? i * output + o : o * input + i;
          const weight = stored[at] as number;
          if (genes.skipped) {
            whole[at] = module === 'o' || module === 'down' ? 0 : weight;
            continue;
          }
          if (o >= outputs || i >= inputs) continue;
          let delta = 0;
          for (let r = 0; r < genes.ranks[groupOf[module]]; r++)
            delta += (a[r * input + i] as number) * (b[r * output + o] as number);
          whole[at] = keeps(weight) ? weight + (alpha / rankMax) * delta : weight;
        }
      merged.set(name, whole);
    }
  return merged;
}

const merge = (
  model: TinyModel,
  base: WeightFile,
  adapter: WeightFile,
  genome: Genome,
): Promise<WeightFile> =>
  putFile(model.folder, (sink) =>
    mergeBase(
      runtime,
      {
        base: base.file,
        baseDigest: base.fileName,
        adapter: adapter.file,
        adapterDigest: adapter.fileName,
        genome,
      },
      sink,
    ),
  );

for (const sum of ['plain', 'masked'] as const)
  for (const [name, genome] of Object.entries(candidates))
    t.test(`${sum} merge of ${name}`, async (t) => {
      const model = await createTinyModel(await tempFolder(t));
      const { folder, shape } = model;
      const pruned = await pruneTinyModel(model, randomRows(shape, [9, 4]), 0.5);
      const adapter = await adapterFor(model, pruned.fileName, sum === 'masked' ? 'fp32' : undefined);
      const file = await merge(model, pruned, adapter, genome);
      const before = await readFullWeights(pruned.file);
      const after = await readFullWeights(file.file);
      const wanted = await plainMerge(model, before, genome, (weight) => sum === 'plain' || weight !== 0);
      let filled = 0;
      for (const [matrix, values] of wanted) {
        const found = after.get(matrix) as Float32Array;
        t.ok(largestDifference(found, values) < 2e-6, matrix);
        const was = before.get(matrix) as Float32Array;
        filled += found.reduce((count, value, at) => count + (was[at] === 0 && value !== 0 ? 1 : 0), 0);
      }
      if (sum === 'masked') t.equal(filled, 0, 'every zero of the base is one still');
      else t.ok(filled > 1000, 'an adapter that is not masked fills zeros');
      t.equal(file.file.metadata.pruning !== undefined, sum === 'masked', 'sparse files say so, others not');
      t.match(JSON.parse(file.file.metadata.merged ?? ''), {
        baseDigest: pruned.fileName,
        adapterDigest: adapter.fileName,
      });

      const { ids } = randomRows(shape, [10])[0] as { ids: Int32Array };
      const unmerged = await modelLogits({ folder, base: pruned, overlay: adapter, genome }, ids);
      const alone = await modelLogits({ folder, base: file, overlay: null, genome: null }, ids);
      t.ok(largestDifference(alone, unmerged) < 2e-4, 'merged equals unmerged beside the base');
      const plain = await readPlainLlama({ ...model, base: file });
      const truth = plain.logits(ids, null).flatMap((row) => [...row]);
      t.ok(largestDifference(unmerged, truth) < 2e-4, 'and a plain computation');
    });

t.test('a masked adapter is scored as it is merged, and packed merged alone', async (t) => {
  const model = await createTinyModel(await tempFolder(t));
  const { folder, shape } = model;
  const base = await pruneTinyModel(model, randomRows(shape, [9, 4]), 0.5);
  const adapter = await adapterFor(model, base.fileName, 'fp32');
  const scorer = await openScorer(runtime, { folder, base, adapter, threads: 1 });
  t.teardown(() => scorer.close());
  const rows = randomRows(shape, [10, 7, 5], { seed: 9 });
  for (const [name, genome] of Object.entries(candidates)) {
    const file = await merge(model, base, adapter, genome);
    const beside = await scorer.score(genome, rows);
    const alone = await scorer.scoreModel({ folder, base: file, overlay: null, genome: null }, rows);
    const nll = (scores: typeof alone) => scores.map((score) => score.nll);
    t.ok(largestDifference(nll(beside), nll(alone)) < 1e-4, name);
  }
  const genome = candidates['all of the adapter'] as Genome;
  const source = {
    base: base.file,
    adapter: adapter.file,
    baseDigest: base.fileName,
    adapterDigest: adapter.fileName,
  };
  await t.rejects(
    buildPackage(runtime, { ...source, genome }),
    coded('GENOME_OUTSIDE_SPACE', 'unmerged', 'masked'),
  );
  const packed = await buildPackage(runtime, { ...source, genome: inMergedForm(genome) });
  t.ok(packed.length > 0);
  const model2 = { folder, base, overlay: adapter };
  const options = { threads: 1, positions: 16 };
  await t.rejects(
    openLoopDecoder(runtime, { ...model2, genome }, options),
    coded('ADAPTER_CONFIG', 'masked'),
  );
  await t.rejects(openSharedDecoder(runtime, model2, [genome], options), coded('ADAPTER_CONFIG', 'masked'));
});

t.test('adapters of another base or mask are refused', async (t) => {
  const model = await createTinyModel(await tempFolder(t), { shape: quantisableShape });
  const { folder, shape } = model;
  const base = await pruneTinyModel(model, randomRows(shape, [9, 4]), 0.5);
  const q4 = await quantiseTinyModel({ ...model, base }, 'q4');
  const genome = uniformGenome(3, 4, 128);
  const inQ4: Genome = { ...genome, precision: 'q4' };
  const stranger = await adapterFor(model, 'e'.repeat(64), 'fp32');
  await t.rejects(
    merge(model, base, stranger, genome),
    coded('ADAPTER_OTHER_BASE', 'e'.repeat(64), base.fileName),
  );
  const forQ4 = await adapterFor(model, base.fileName, 'q4');
  await t.rejects(merge(model, base, forQ4, genome), coded('ADAPTER_OTHER_BASE', 'q4', 'fp32'));
  const forFloats = await adapterFor(model, base.fileName, 'fp32');
  const unmasked = await adapterFor(model, base.fileName);
  const numbers = (adapter: WeightFile, to: WeightFile, candidate: Genome): Promise<WeightFile> =>
    putFile(folder, (sink) =>
      mergeQuantised(
        runtime,
        {
          base: to.file,
          baseDigest: to.fileName,
          adapter: adapter.file,
          adapterDigest: adapter.fileName,
          genome: candidate,
        },
        sink,
      ),
    );
  await t.rejects(numbers(forFloats, q4.base, inQ4), coded('ADAPTER_OTHER_BASE', 'fp32', 'q4'));
  await t.rejects(numbers(unmasked, q4.base, inQ4), coded('ADAPTER_CONFIG', 'floats', 'q4'));
  await t.rejects(numbers(stranger, q4.base, inQ4), coded('ADAPTER_OTHER_BASE', 'e'.repeat(64)));
  await t.rejects(numbers(forQ4, q4.base, genome), coded('GENOME_OUTSIDE_SPACE', 'fp32', 'q4'));
  await t.rejects(numbers(forFloats, base, genome), coded('MODEL_CONFIG', 'fp32'));
  t.throws(
    () => resolveCandidate({ folder, base: q4.base, overlay: forQ4, genome: inQ4 }),
    coded('ADAPTER_CONFIG', 'q4', 'adapter merge'),
  );
  t.throws(
    () => resolveCandidate({ folder, base: q4.base, overlay: forFloats, genome: inQ4 }),
    coded('ADAPTER_OTHER_BASE', 'fp32', 'q4'),
  );
  for (const masked of ['', 'q3', 'true'])
    t.throws(
      () =>
        readAdapterFacts({
          ...forQ4.file,
          metadata: { ...forQ4.file.metadata, masked },
        }),
      coded('ADAPTER_CONFIG', 'masked'),
    );
});

/** Scales and numbers of a quantised file by the name of their tensor. */
async function rawTensors({ file }: WeightFile, suffix: 'q' | 'scale'): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const [name, { offset, bytes }] of file.tensors)
    if (name.endsWith(`.${suffix}`)) found.set(name, await file.source.read(offset, bytes));
  return found;
}

for (const precision of ['q8', 'q4'] as const)
  t.test(`merge into the numbers of a ${precision} base`, async (t) => {
    const model = await createTinyModel(await tempFolder(t), { shape: quantisableShape });
    const { folder, shape } = model;
    const pruned = await pruneTinyModel(model, randomRows(shape, [9, 4]), 0.5);
    const { base } = await quantiseTinyModel({ ...model, base: pruned }, precision);
    const adapter = await adapterFor(model, pruned.fileName, precision);
    const ranks = { qkv: 3, o: 4, gateUp: 2, down: 4 };
    const genome: Genome = {
      form: 'unmerged',
      precision,
      layers: [
        { ranks, width: 128 },
        { ranks: { ...ranks, o: 0 }, width: 64, kvHeads: 2 },
        { ranks, width: 128 },
      ],
    };
    const file = await putFile(folder, (sink) =>
      mergeQuantised(
        runtime,
        {
          base: base.file,
          baseDigest: base.fileName,
          adapter: adapter.file,
          adapterDigest: adapter.fileName,
          genome,
        },
        sink,
      ),
    );
    t.same(
      await rawTensors(file, 'scale'),
      await rawTensors(base, 'scale'),
      'the scales are those of the base',
    );
    t.same([...file.file.tensors.keys()], [...base.file.tensors.keys()]);
    const [was, is] = [await readFullWeights(base.file), await readFullWeights(file.file)];
    const wanted = await plainMerge(model, was, genome, (weight) => weight !== 0);
    let [filled, changed, unlike, checked] = [0, 0, 0, 0];
    for (const [name, sums] of wanted) {
      const [before, after] = [was.get(name) as Float32Array, is.get(name) as Float32Array];
      const scaleAt = await scalesOf(base, shape.ffnWidth, name, before.length);
      sums.forEach((sum, at) => {
        const [old, now] = [before[at] as number, after[at] as number];
        if (old === 0 && now !== 0) filled++;
        if (old !== now) changed++;
        const scale = scaleAt(at);
        if (old === 0 || scale === 0) return;
        const exact = sum / scale;
        const [least, most] = precision === 'q8' ? [-128, 127] : [-8, 7];
        // Sums are rounded to single precision: what lies that near to a half may go either way.
        if (Math.abs(exact - Math.floor(exact) - 0.5) < 1e-3) return;
        checked++;
        const number = Math.min(most, Math.max(least, Math.round(exact)));
        if (Math.abs(now / scale - number) > 1e-3) unlike++;
      });
    }
    t.equal(filled, 0, 'no zero is filled');
    t.ok(changed > 1000, 'the adapter shows');
    t.ok(checked > 10_000);
    t.equal(unlike, 0, 'every number is the nearest one to weight and product');

    const { ids } = randomRows(shape, [10])[0] as { ids: Int32Array };
    const floats = await putFile(folder, (sink) => dequantiseBase(file.file, sink));
    const plainFloats = await readFullWeights(floats.file);
    for (const [name, values] of is) t.same(plainFloats.get(name), values, `${name} as floats`);
    const alone = { ...uniformGenome(3, 0, 128), precision };
    const logits = await modelLogits({ folder, base: file, overlay: null, genome: alone }, ids);
    const plain = await readPlainLlama({ ...model, base: file }, 'rounded');
    const truth = plain.logits(ids, null).flatMap((row) => [...row]);
    t.ok(largestDifference(logits, truth) < 0.05, 'it runs as a quantised base');
  });

/** Scale of each weight of a matrix as readFullWeights has it. */
async function scalesOf(
  { file }: WeightFile,
  ffnWidth: number,
  name: string,
  count: number,
): Promise<(at: number) => number> {
  const parts = file.tensors.has(`${name}.scale`)
    ? [`${name}.scale`]
    : [...file.tensors.keys()].filter((one) => one.startsWith(`${name}.`) && one.endsWith('.scale'));
  const scales = await Promise.all(
    parts.map(async (part) => ({
      values: await readFloats(file, part),
      blocks: file.tensors.get(part)?.shape[1] as number,
    })),
  );
  const isDown = name.endsWith('.down');
  const rows = file.tensors.get(parts[0] as string)?.shape[0] as number;
  const columns = isDown ? ffnWidth : count / rows;
  return (at) => {
    const [row, column] = isDown
      ? [at % rows, Math.floor(at / rows)]
      : [Math.floor(at / columns), at % columns];
    let block = Math.floor(column / 32);
    for (const { values, blocks } of scales) {
      if (block < blocks) return values[row * blocks + block] as number;
      block -= blocks;
    }
    throw new Error(`${name} has no scale for weight ${at}`);
  };
}
