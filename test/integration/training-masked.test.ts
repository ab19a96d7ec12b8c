import {
  createLoraParameters,
  openTrainingStep,
  type TrainingStepOptions,
} from '@fleetlora/coordinator/training';
import { mergeBase, mergeQuantised } from '@fleetlora/shared/compress';
import { openScorer } from '@fleetlora/shared/engine';
import { moduleNames, type WeightFile } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { type Genome, uniformGenome } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import { dequantiseBase, readFloats } from '@fleetlora/shared/weights';
import t from 'tap';
import { adapterFor, pruneTinyModel, putFile } from '../lib/compressed-models.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { tempFolder } from '../lib/temp-folder.js';
import { createTinyModel, randomRows, type TinyModel, tinyAlpha, tinyRankMax } from '../lib/tiny-model.js';

const runtime = createNodeRuntime();
const genomes: Readonly<Record<string, Genome>> = {
  'the largest': uniformGenome(3, 4, 128),
  'cut in ranks, channels and heads': {
    form: 'unmerged',
    layers: [
      { ranks: { qkv: 3, o: 1, gateUp: 2, down: 4 }, width: 64 },
      { ranks: { qkv: 0, o: 4, gateUp: 3, down: 2 }, width: 96, kvHeads: 2 },
      { ranks: { qkv: 2, o: 2, gateUp: 0, down: 0 }, width: 128 },
    ],
  },
};

/** A training step over a base, with the factors of an adapter file as parameters. */
async function openStep(
  { folder, shape }: TinyModel,
  base: WeightFile,
  adapter: WeightFile,
  masked: TrainingStepOptions['masked'],
) {
  const parameters = createLoraParameters(shape, tinyRankMax, moduleNames);
  for (const view of parameters.factors)
    parameters.valuesOf(view).set(await readFloats(adapter.file, view.name));
  const step = await openTrainingStep(runtime, {
    shape,
    base,
    weightFolder: folder,
    rankMax: tinyRankMax,
    loraScale: tinyAlpha / tinyRankMax,
    modules: moduleNames,
    threads: 1,
    masked,
    elastic: Array.from({ length: shape.layers }, () => ({ width: true, kvHeads: true, skip: false })),
  });
  return { parameters, step };
}

/** Mean loss a target of a base alone. */
async function lossOf(folder: string, base: WeightFile, rows: readonly TokenRow[]): Promise<number> {
  const scorer = await openScorer(runtime, { folder, base, adapter: null, threads: 1 });
  try {
    const scores = await scorer.scoreModel({ folder, base, overlay: null, genome: null }, rows);
    const sum = (of: 'nll' | 'targets') => scores.reduce((all, score) => all + score[of], 0);
    return sum('nll') / sum('targets');
  } finally {
    await scorer.close();
  }
}

for (const [name, genome] of Object.entries(genomes))
  t.test(`SparsePEFT, ${name}: loss of the merged base, gradients as differences say`, async (t) => {
    const model = await createTinyModel(await tempFolder(t), { shape: quantisableShape });
    const { folder, shape } = model;
    const base = await pruneTinyModel(model, randomRows(shape, [9, 4]), 0.5);
    const adapter = await adapterFor(model, base.fileName, 'fp32');
    const rows = randomRows(shape, [10, 7, 5], { seed: 9 });
    const { parameters, step } = await openStep(model, base, adapter, 'fp32');
    t.teardown(() => step.close());
    const loss = async (): Promise<number> =>
      (await step.accumulate(parameters, rows, [genome])).losses[0] ?? Number.NaN;
    const merged = await putFile(folder, (sink) =>
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
    t.ok(Math.abs((await loss()) - (await lossOf(folder, merged, rows))) < 1e-4);
    const gradient = parameters.gradient.slice();
    let compared = 0;
    for (const view of parameters.factors) {
      // The largest gradient of each factor, so that rounding of the loss does not hide it.
      const own = gradient.subarray(view.start, view.start + view.rows * view.columns);
      const at = own.reduce(
        (best, value, i) => (Math.abs(value) > Math.abs(own[best] as number) ? i : best),
        0,
      );
      const values = parameters.valuesOf(view);
      const was = values[at] as number;
      const shift = 2e-3;
      values[at] = was + shift;
      const above = await loss();
      values[at] = was - shift;
      const below = await loss();
      values[at] = was;
      const slope = (above - below) / (2 * shift);
      const found = own[at] as number;
      if (Math.abs(found) < 1e-2) continue;
      compared++;
      t.ok(Math.abs(slope - found) < 0.03 * Math.abs(found) + 2e-4, `${view.name}: ${found}, ${slope}`);
    }
    t.ok(compared > 20, `${compared} factors have a gradient`);
  });

for (const precision of ['q8', 'q4'] as const)
  for (const [name, genome] of Object.entries(genomes))
    t.test(`QA-SparsePEFT ${precision}, ${name}: exactly the loss of the merged numbers`, async (t) => {
      const model = await createTinyModel(await tempFolder(t), { shape: quantisableShape });
      const { folder, shape } = model;
      const pruned = await pruneTinyModel(model, randomRows(shape, [9, 4]), 0.5);
      const { base } = await quantiseTinyModel({ ...model, base: pruned }, precision);
      const adapter = await adapterFor(model, pruned.fileName, precision);
      const floats = await putFile(folder, (sink) => dequantiseBase(base.file, sink, 'weightsAndSteps'));
      const rows = randomRows(shape, [10, 7, 5], { seed: 9 });
      const { parameters, step } = await openStep(model, floats, adapter, precision);
      t.teardown(() => step.close());
      const { losses } = await step.accumulate(parameters, rows, [genome]);
      const merged = await putFile(folder, (sink) =>
        mergeQuantised(
          runtime,
          {
            base: base.file,
            baseDigest: base.fileName,
            adapter: adapter.file,
            adapterDigest: adapter.fileName,
            genome: { ...genome, precision },
          },
          sink,
        ),
      );
      // As floats, since kernels round what goes into quantised products.
      const plain = await putFile(folder, (sink) => dequantiseBase(merged.file, sink));
      const wanted = await lossOf(folder, plain, rows);
      t.ok(Math.abs((losses[0] ?? Number.NaN) - wanted) < 1e-5, `${losses[0]} and ${wanted}`);
      const before = await lossOf(folder, floats, rows);
      t.ok(Math.abs(before - wanted) > 1e-3, 'which is not that of the base');
      t.ok(
        parameters.gradient.some((value) => value !== 0) && parameters.gradient.every(Number.isFinite),
        'and there are gradients',
      );
    });
