import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  buildPackage,
  expandPackage,
  generateGreedy,
  generateRows,
  loadAdapterFactors,
  openDecoder,
  openScorer,
  openSharedDecoder,
  resolveCandidate,
} from '@fleetlora/shared/engine';
import { buildInferenceGraph, moduleNames, type WeightFile } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import {
  encodeGenome,
  type Genome,
  type LayerGenome,
  type Precision,
  precisions,
  skippedLayer,
} from '@fleetlora/shared/space';
import { bufferSource, packageSize, readAdapterFacts, readTensorFile } from '@fleetlora/shared/weights';
import { InferenceSession } from 'onnxruntime-node';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { type PlainLlama, readPlainLlama } from '../lib/plain-llama.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { largestDifference, modelLogits, runLogits } from '../lib/run-logits.js';
import { createTinyModel, randomRows, type TinyModel, tinyShape } from '../lib/tiny-model.js';

/**
 * Of logits up to 16. fp32: single precision through some hundred sums. q8 and q4: the plain
 * computation rounds activations as the kernels do, to a 127th of the largest of 32; where a value
 * lies on the half between two steps the two part by one step of one activation, which is rare.
 */
const SINGLE = 5e-4;
const ONE_STEP = 0.5;
/** What rounding activations to 8 bits changes at all, in three layers of random weights. */
const ROUNDING = 3;
const runtime = createNodeRuntime();
const shape = { ...tinyShape, ...quantisableShape };
const ids = Array.from(randomRows(shape, [9])[0]?.ids ?? []);

const none = { qkv: 0, o: 0, gateUp: 0, down: 0 };
const ranksOf = {
  'no adapter': [none, none, none],
  'ranks of 1 to 4': [
    { qkv: 4, o: 2, gateUp: 3, down: 1 },
    { qkv: 1, o: 4, gateUp: 0, down: 3 },
    { qkv: 2, o: 0, gateUp: 4, down: 4 },
  ],
} as const;
const widthsOf = { 'all channels': [128, 128, 128], 'channels 64, 96, 32': [64, 96, 32] } as const;
const headsOf = {
  'all heads': [undefined, undefined, undefined],
  'heads 3, 1, all': [3, 1, undefined],
} as const;
const skippedOf = { 'all layers': [], 'first left out': [0], 'second and last left out': [1, 2] } as const;

interface Case {
  readonly name: string;
  readonly genome: Genome;
}

/** Every choice of every axis with every other. */
function cases(): Case[] {
  const all: Case[] = [];
  for (const precision of precisions)
    for (const [ranksName, ranks] of Object.entries(ranksOf))
      for (const [widthName, widths] of Object.entries(widthsOf))
        for (const [headsName, heads] of Object.entries(headsOf))
          for (const [skippedName, skipped] of Object.entries(skippedOf)) {
            const layers = [0, 1, 2].map((layer): LayerGenome => {
              if (skipped.some((one) => one === layer)) return skippedLayer;
              const kvHeads = heads[layer];
              return {
                ranks: ranks[layer] ?? none,
                width: widths[layer] ?? 0,
                ...(kvHeads !== undefined && { kvHeads }),
              };
            });
            all.push({
              name: [precision, ranksName, widthName, headsName, skippedName].join(', '),
              genome: { form: 'unmerged', ...(precision !== 'fp32' && { precision }), layers },
            });
          }
  return all;
}

async function openModels(folder: string): Promise<Record<Precision, [TinyModel, PlainLlama]>> {
  const fp32 = await createTinyModel(folder, { shape: quantisableShape });
  const open = async (precision: Precision): Promise<[TinyModel, PlainLlama]> => {
    const model = await quantiseTinyModel(fp32, precision);
    return [model, await readPlainLlama(model, 'rounded')];
  };
  return { fp32: await open('fp32'), q8: await open('q8'), q4: await open('q4') };
}

t.test(
  'every combination of the axes: graph, LoRA inputs and cache give the masked full-size computation',
  async (t) => {
    const models = await openModels(t.testdir());
    const offs: Record<Precision, number[]> = { fp32: [], q8: [], q4: [] };
    for (const { name, genome } of cases()) {
      const precision = genome.precision ?? 'fp32';
      const [model, plain] = models[precision];
      const candidate = { ...model, overlay: model.adapter, genome };
      const wanted = plain.logits(ids, genome);
      const flat = wanted.flatMap((row) => Array.from(row));
      const differences = [largestDifference(await modelLogits(candidate, ids), flat)];

      const factors = await loadAdapterFactors(model.adapter.file, shape);
      const inputs = { modules: moduleNames, feeds: factors.feeds(genome) };
      const resolved = { ...resolveCandidate(candidate), lora: 'inputs' as const };
      differences.push(
        largestDifference(await runLogits({ resolved, folder: model.folder, ids, inputs }), flat),
      );

      const decoder = await openDecoder(runtime, candidate, { threads: 1, positions: 12 });
      for (const [from, to] of [
        [0, 6],
        [6, 7],
        [7, 9],
      ] as const) {
        const found = await decoder.prefill(ids.slice(from, to));
        differences.push(largestDifference(found, wanted[to - 1] as Float64Array));
      }
      await decoder.close();
      const off = differences.some(Number.isNaN) ? Number.POSITIVE_INFINITY : Math.max(...differences);
      offs[precision].push(off);
      t.ok(off < (precision === 'fp32' ? SINGLE : ONE_STEP), `${name}: ${off} off`);
    }
    for (const precision of precisions)
      t.ok(
        offs[precision].filter((off) => off < SINGLE).length >= 0.8 * offs[precision].length,
        `${precision}: most combinations have no activation on the half between two steps`,
      );
  },
);

t.test(
  'q8 and q4 beside the exact product of their weights: what rounding activations changes is bounded',
  async (t) => {
    const models = await openModels(t.testdir());
    const fp32 = models.fp32[1].logits(ids, null);
    for (const precision of ['q8', 'q4'] as const) {
      const [model] = models[precision];
      const exact = (await readPlainLlama(model)).logits(ids, null).flatMap((row) => Array.from(row));
      const found = await modelLogits({ ...model, overlay: null, genome: null }, ids);
      const off = largestDifference(found, exact);
      t.ok(off > 0 && off < ROUNDING, `${precision} is ${off} off`);
      t.ok(
        largestDifference(
          exact,
          fp32.flatMap((row) => Array.from(row)),
        ) > SINGLE,
        'and not the fp32 model',
      );
    }
  },
);

const mixed = (precision: Precision): Genome =>
  cases().find(
    ({ name }) =>
      name === `${precision}, ranks of 1 to 4, channels 64, 96, 32, heads 3, 1, all, first left out`,
  )?.genome as Genome;

for (const precision of precisions) {
  t.test(
    `${precision}: scorer, batches of answers, shared sessions and a package of a mixed candidate`,
    async (t) => {
      const models = await openModels(t.testdir());
      const [model, plain] = models[precision];
      const genome = mixed(precision);
      const candidate = { ...model, overlay: model.adapter, genome };
      const rows = randomRows(shape, [9, 3, 20], { seed: 4, targets: 2 });
      const scorer = await openScorer(runtime, {
        folder: model.folder,
        base: model.base,
        adapter: model.adapter,
        threads: 1,
      });
      const scores = await scorer.score(genome, rows);
      const wanted = rows.map((row) => plain.targets(row, genome).reduce((sum, { nll }) => sum + nll, 0));
      for (const [index, score] of scores.entries())
        t.ok(
          Math.abs(score.nll - (wanted[index] as number)) < ONE_STEP,
          `row ${index}: ${score.nll}, by hand ${wanted[index]}`,
        );
      t.same(await scorer.scoreModel(candidate, rows), await scorer.scoreModel(candidate, rows));
      const constants = await scorer.scoreModel(candidate, rows);
      for (const [index, score] of constants.entries())
        t.ok(
          Math.abs(score.nll - (scores[index]?.nll ?? 0)) < ONE_STEP,
          `row ${index} with constants: ${score.nll}`,
        );
      // The same widths without heads and layers cut: another session, and another network.
      const whole: Genome = {
        ...genome,
        layers: genome.layers.map(({ ranks, width, skipped }) => ({ ranks, width: skipped ? 128 : width })),
      };
      const wholeScores = await scorer.score(whole, rows);
      t.ok(
        Math.abs((wholeScores[0]?.nll ?? 0) - (scores[0]?.nll ?? 0)) > 0.01,
        'a session is of one network',
      );
      await scorer.close();

      const prompts = [ids.slice(0, 4), ids.slice(0, 9), ids.slice(2, 3), ids.slice(1, 7)];
      const limits = { maxTokens: 6, stopIds: [0, 1, 2, 3, 4, 5, 6] };
      const decoder = await openDecoder(runtime, candidate, { threads: 1, positions: 20 });
      const oneByOne: number[][] = [];
      for (const prompt of prompts) {
        const answer: number[] = [];
        for await (const id of generateGreedy(decoder, prompt, limits)) answer.push(id);
        oneByOne.push(answer);
      }
      await decoder.close();
      const together = await generateRows(runtime, candidate, prompts, { ...limits, threads: 1 });
      t.same(
        together.map((row) => row.ids),
        oneByOne,
      );

      const other: Genome = {
        ...genome,
        layers: genome.layers.map((layer) => ({
          ...layer,
          ranks: {
            qkv: Math.sign(layer.ranks.qkv) * 2,
            o: Math.sign(layer.ranks.o),
            gateUp: Math.sign(layer.ranks.gateUp),
            down: Math.sign(layer.ranks.down) * 4,
          },
        })),
      };
      const shared = await openSharedDecoder(runtime, { ...model, overlay: model.adapter }, [genome, other], {
        threads: 1,
        positions: 12,
      });
      for (const [index, one] of [genome, other].entries()) {
        shared.use(index);
        shared.reset();
        const off = largestDifference(
          await shared.prefill(ids),
          plain.logits(ids, one).at(-1) as Float64Array,
        );
        t.ok(off < ONE_STEP, `candidate ${index} in a shared session is ${off} off`);
      }
      await shared.close();

      const bytes = await buildPackage(runtime, {
        base: model.base.file,
        adapter: model.adapter.file,
        genome,
        baseDigest: model.base.fileName,
        adapterDigest: model.adapter.fileName,
      });
      t.equal(bytes.length, packageSize(genome, shape, readAdapterFacts(model.adapter.file)));
      const off = largestDifference(
        await modelLogits({ ...candidate, overlay: await expand(model, bytes) }, ids),
        plain.logits(ids, genome).flatMap((row) => Array.from(row)),
      );
      t.ok(off < ONE_STEP, `the package is ${off} off`);
    },
  );
}

async function expand(model: TinyModel, bytes: Uint8Array): Promise<WeightFile> {
  const expanded = await expandPackage(await readTensorFile(bufferSource(bytes)));
  await writeFile(join(model.folder, 'expanded'), expanded);
  return { fileName: 'expanded', file: await readTensorFile(bufferSource(expanded)) };
}

t.test('fp32 merged: heads and layers are cut from the merged matrices too', async (t) => {
  const model = await createTinyModel(t.testdir(), { shape: quantisableShape });
  const plain = await readPlainLlama(model);
  const genome: Genome = { ...mixed('fp32'), form: 'merged' };
  const bytes = await buildPackage(runtime, {
    base: model.base.file,
    adapter: model.adapter.file,
    genome,
    baseDigest: model.base.fileName,
    adapterDigest: model.adapter.fileName,
  });
  t.equal(bytes.length, packageSize(genome, shape, readAdapterFacts(model.adapter.file)));
  const found = await modelLogits({ ...model, overlay: await expand(model, bytes), genome }, ids);
  const off = largestDifference(
    found,
    plain.logits(ids, genome).flatMap((row) => Array.from(row)),
  );
  // Every matrix is rounded to half precision, 2^-11 relative, through two layers.
  t.ok(off < 0.15, `${off} off`);
});

t.test('what a base file cannot be cut to is refused by name before it runs', async (t) => {
  const folder = t.testdir();
  const fp32 = await createTinyModel(folder, { shape: quantisableShape });
  const q4 = await quantiseTinyModel(fp32, 'q4');
  const full = (change: Partial<LayerGenome>, genome: Partial<Genome> = {}): Genome => ({
    form: 'unmerged',
    ...genome,
    layers: [0, 1, 2].map((layer) => ({ ranks: none, width: 128, ...(layer === 1 && change) })),
  });
  const refused: [TinyModel, Genome, (string | number)[]][] = [
    [fp32, full({}, { precision: 'q4' }), ['q4', 'fp32']],
    [q4, full({}), ['fp32', 'q4']],
    [q4, full({}, { precision: 'q8' }), ['q8', 'q4']],
    [q4, full({}, { precision: 'q4', form: 'merged' }), ['merged', 'q4']],
    [q4, full({ width: 48 }, { precision: 'q4' }), ['layer 1', 48, 32]],
    [fp32, full({ width: 129 }), ['layer 1', 129, 128]],
    [fp32, full({ width: 0 }), ['layer 1', 'width 0', 128]],
    [fp32, full({ kvHeads: 4 }), ['layer 1', '4 key/value heads', 4]],
    [fp32, full({ kvHeads: 0 }), ['layer 1', '0 key/value heads', 4]],
    [fp32, full({ ranks: { ...none, o: 5 } }), ['layer 1', 'o rank 5', 4]],
    [fp32, { form: 'unmerged', layers: [skippedLayer, skippedLayer, skippedLayer] }, ['3 layers']],
    [fp32, { form: 'unmerged', layers: [skippedLayer] }, ['1 layers', 3]],
  ];
  for (const [model, genome, named] of refused) {
    const candidate = { ...model, overlay: model.adapter, genome };
    t.throws(
      () => resolveCandidate(candidate),
      coded('GENOME_OUTSIDE_SPACE', ...named),
      encodeGenome(genome),
    );
    const scorer = await openScorer(runtime, {
      folder,
      base: model.base,
      adapter: model.adapter,
      threads: 1,
    });
    if (genome.form === 'unmerged')
      await t.rejects(scorer.score(genome, []), coded('GENOME_OUTSIDE_SPACE', ...named), 'scorer');
    await scorer.close();
    const source = {
      base: model.base.file,
      adapter: model.adapter.file,
      genome,
      baseDigest: '',
      adapterDigest: '',
    };
    await t.rejects(buildPackage(runtime, source), coded('GENOME_OUTSIDE_SPACE', ...named), 'package');
  }
  resolveCandidate({
    ...fp32,
    overlay: fp32.adapter,
    genome: full({ kvHeads: 1, width: 1, ranks: { ...none, o: 4 } }),
  });
  resolveCandidate({
    ...q4,
    overlay: q4.adapter,
    genome: full({ kvHeads: 3, width: 32 }, { precision: 'q4' }),
  });
  t.equal(resolveCandidate({ ...q4, overlay: null, genome: null }).genome.precision, 'q4');

  const stranger = await createTinyModel(folder, { shape: quantisableShape, seed: 2 });
  t.throws(
    () => resolveCandidate({ ...q4, overlay: stranger.adapter, genome: full({}, { precision: 'q4' }) }),
    coded('ADAPTER_OTHER_BASE', stranger.base.fileName, fp32.base.fileName),
  );
});

t.test(
  'the joining and cutting of constants is folded at load: none is left in the loaded graph',
  async (t) => {
    const models = await openModels(t.testdir());
    for (const precision of precisions) {
      const [model] = models[precision];
      const genome = mixed(precision);
      const graph = buildInferenceGraph({
        ...resolveCandidate({ ...model, overlay: model.adapter, genome }),
        head: 'logits',
        cachePositions: 8,
      });
      t.ok(countNodes(graph, 'Slice') > 0, 'there is something to fold');
      const optimised = join(model.folder, `${precision}.onnx`);
      const session = await InferenceSession.create(graph, {
        logSeverityLevel: 3,
        optimizedModelFilePath: optimised,
        extra: { session: { model_external_initializers_file_folder_path: model.folder } },
      });
      await session.release();
      const loaded = await readFile(optimised);
      t.equal(countNodes(loaded, 'Slice'), 0);
      // Those that are left put the run's own number of tokens into a shape: of q, and of k and v alike.
      t.equal(countNodes(loaded, 'Concat'), 2 * 2);
      // Before, once for each of q, k and v, and for a quantised down of two chunks and an o of four.
      t.equal(countNodes(graph, 'Concat'), 2 * 3 + (precision === 'fp32' ? 0 : 2 * 2));
      t.equal(countNodes(loaded, 'MatMulNBits'), precision === 'fp32' ? 0 : 2 * 7 + 1);
    }
  },
);

/** Operators of a type in a serialised model: field 4 of a node is its type, a length and its letters. */
function countNodes(model: Uint8Array, type: string): number {
  const field = Buffer.concat([Buffer.from([0x22, type.length]), Buffer.from(type)]);
  let count = 0;
  for (let at = Buffer.from(model).indexOf(field); at >= 0; at = Buffer.from(model).indexOf(field, at + 1))
    count++;
  return count;
}
