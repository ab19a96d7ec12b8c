import { createLoraParameters, type LoraParameters, openTrainingStep } from '@fleetlora/coordinator/training';
import { groupOf, type ModuleName, moduleNames } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import type { Genome } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import { readFloats } from '@fleetlora/shared/weights';
import t from 'tap';
import { type PlainLlama, readPlainLlama } from '../lib/plain-llama.js';
import { tinyGenomes } from '../lib/tiny-genomes.js';
import {
  createTinyModel,
  randomRows,
  type TinyModel,
  type TinyModelOptions,
  tinyShape,
} from '../lib/tiny-model.js';

/**
 * Of the length of a factor's gradient: single precision. The difference quotients themselves are
 * exact to 1e-7, because the plain computation they are taken of is in double precision.
 */
const TOLERANCE = 2e-5;
const STEP = 1e-5;
/** Random directions a factor is moved in; each sees every element of its gradient. */
const DIRECTIONS = 2;
const rows = randomRows(tinyShape, [7, 5], { seed: 21, targets: 3 });

async function gradients(
  model: TinyModel,
  genomes: readonly Genome[],
  of: readonly TokenRow[] = rows,
  modules: readonly ModuleName[] = moduleNames,
): Promise<{ parameters: LoraParameters; losses: readonly number[] }> {
  const parameters = createLoraParameters(model.shape, 4, modules);
  for (const view of parameters.factors)
    parameters.valuesOf(view).set(await readFloats(model.adapter.file, view.name, [view.rows, view.columns]));
  const step = await openTrainingStep(createNodeRuntime(), {
    shape: model.shape,
    base: model.base,
    weightFolder: model.folder,
    rankMax: 4,
    loraScale: 2,
    modules,
    threads: 1,
  });
  const { losses } = await step.accumulate(parameters, of, genomes);
  await step.close();
  return { parameters, losses };
}

/** Slope of the loss along a direction of one factor: a central difference of the plain computation. */
function slope(plain: PlainLlama, name: string, direction: readonly number[], genome: Genome): number {
  const start = plain.factors.get(name) as Float64Array;
  const lossAt = (distance: number): number => {
    plain.factors.set(
      name,
      start.map((value, at) => value + distance * (direction[at] as number)),
    );
    return plain.loss(rows, genome);
  };
  const quotient = (lossAt(STEP) - lossAt(-STEP)) / (2 * STEP);
  plain.factors.set(name, start);
  return quotient;
}

const cases: [string, Genome, TinyModelOptions][] = [
  ...Object.entries(tinyGenomes).map(([name, genome]): [string, Genome, TinyModelOptions] => [
    `${name}, tied head`,
    genome,
    {},
  ]),
  [
    'largest, head of its own',
    tinyGenomes['rank 4, width 24 everywhere'] as Genome,
    { shape: { tiedHead: false } },
  ],
  [
    'mixed, head of its own, no grouping of heads',
    tinyGenomes['every group and layer its own rank, widths 12 and 18'] as Genome,
    { shape: { tiedHead: false, kvHeads: 4 } },
  ],
  [
    'largest, biases of q, k and v, a window of 3 tokens',
    tinyGenomes['rank 4, width 24 everywhere'] as Genome,
    { shape: { architecture: 'qwen2', qkvBias: true, slidingWindow: 3 } },
  ],
  [
    'largest, adapter on q and v alone',
    tinyGenomes['rank 4, width 24 everywhere'] as Genome,
    { modules: ['q', 'v'] },
  ],
  [
    'mixed, adapter on up and down alone',
    tinyGenomes['every group and layer its own rank, widths 12 and 18'] as Genome,
    { modules: ['up', 'down'] },
  ],
];

for (const [name, genome, options] of cases) {
  t.test(
    `${name}: loss and gradients equal the plain computation and its difference quotients`,
    async (t) => {
      const model = await createTinyModel(t.testdir(), options);
      const plain = await readPlainLlama(model);
      const { parameters, losses } = await gradients(model, [genome], rows, options.modules);
      t.equal(losses.length, 1);
      t.ok(Math.abs((losses[0] ?? 0) - plain.loss(rows, genome)) < 1e-5, `loss ${losses[0]}`);
      const random = createRandom(22);
      let worst = 0;
      for (const view of parameters.factors) {
        const genes = genome.layers[view.layer];
        const rank = genes?.ranks[groupOf[view.module]] ?? 0;
        const elastic = view.factor === 'B' ? ['gate', 'up'].includes(view.module) : view.module === 'down';
        const columns = elastic ? (genes?.width ?? 0) : view.columns;
        const found = parameters.gradient.subarray(view.start, view.start + view.rows * view.columns);
        const inside = (at: number): boolean =>
          Math.floor(at / view.columns) < rank && at % view.columns < columns;
        t.ok(
          found.every((value, at) => inside(at) || value === 0),
          `${view.name} is zero outside [${rank}, ${columns}]`,
        );
        const length = Math.hypot(...found);
        t.equal(length > 1e-6, rank > 0, `${view.name} has a gradient of length ${length}`);
        for (let count = 0; rank > 0 && count < DIRECTIONS; count++) {
          const direction = Array.from(found, () => (random.below(2) === 0 ? 1 : -1));
          const wanted = slope(plain, view.name, direction, genome);
          const along = direction.reduce((sum, sign, at) => sum + sign * (found[at] as number), 0);
          worst = Math.max(worst, Math.abs(along - wanted) / length);
        }
      }
      t.ok(worst < TOLERANCE, `${worst} of the gradient off`);
    },
  );
}

t.test('several sub-networks: each has its own loss, the gradient is their mean', async (t) => {
  const model = await createTinyModel(t.testdir());
  const genomes = Object.values(tinyGenomes);
  const together = await gradients(model, genomes);
  const mean = new Float64Array(together.parameters.gradient.length);
  for (const [index, genome] of genomes.entries()) {
    const alone = await gradients(model, [genome]);
    t.ok(Math.abs((together.losses[index] ?? 0) - (alone.losses[0] ?? 1)) < 1e-5, `loss of ${index}`);
    alone.parameters.gradient.forEach((value, at) => {
      mean[at] = (mean[at] as number) + value / genomes.length;
    });
  }
  t.ok(near(together.parameters.gradient, mean) < 1e-5);
});

t.test(
  '100 rows of up to 32 tokens, cut into micro-batches and padded: the target-weighted mean of single rows',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const genome = tinyGenomes['every group and layer its own rank, widths 12 and 18'] as Genome;
    const random = createRandom(23);
    const many = Array.from({ length: 100 }, (_, index) => {
      const length = 20 + random.below(13);
      return randomRows(tinyShape, [length], {
        seed: 100 + index,
        targets: 1 + random.below(8),
      })[0] as TokenRow;
    });
    const tokens = many.reduce((sum, { ids }) => sum + ids.length, 0);
    t.ok(tokens > 2560, `${tokens} tokens are more than one micro-batch holds`);
    const together = await gradients(model, [genome], many);
    const targets = many.reduce((sum, row) => sum + row.ids.length - row.targetStart, 0);
    const wanted = new Float64Array(together.parameters.gradient.length);
    let loss = 0;
    for (const part of [many.slice(0, 1), many.slice(1, 7), many.slice(7, 60), many.slice(60)]) {
      const alone = await gradients(model, [genome], part);
      const share = part.reduce((sum, row) => sum + row.ids.length - row.targetStart, 0) / targets;
      loss += (alone.losses[0] ?? 0) * share;
      alone.parameters.gradient.forEach((value, at) => {
        wanted[at] = (wanted[at] as number) + value * share;
      });
    }
    t.ok(Math.abs((together.losses[0] ?? 0) - loss) < 1e-5, `${together.losses[0]} and ${loss}`);
    t.ok(near(together.parameters.gradient, wanted) < 1e-4);
  },
);

t.test('padding: a row counts the same alone and beside a longer one', async (t) => {
  const model = await createTinyModel(t.testdir());
  const plain = await readPlainLlama(model);
  const genome = tinyGenomes['rank 4, width 24 everywhere'] as Genome;
  const [short, long] = randomRows(tinyShape, [5, 30], { seed: 24 }) as [TokenRow, TokenRow];
  const both = await gradients(model, [genome], [short, long]);
  const parts = [await gradients(model, [genome], [short]), await gradients(model, [genome], [long])];
  t.ok(Math.abs((both.losses[0] ?? 0) - plain.loss([short, long], genome)) < 1e-5);
  const wanted = (parts[0]?.parameters.gradient ?? new Float32Array()).map(
    (value, at) => (value + (parts[1]?.parameters.gradient[at] ?? 0)) / 2,
  );
  t.ok(near(both.parameters.gradient, wanted) < 1e-5);
});

t.test('labels: only tokens from targetStart on count, each predicted from the one before it', async (t) => {
  const model = await createTinyModel(t.testdir());
  const plain = await readPlainLlama(model);
  const genome = tinyGenomes['rank 4, width 24 everywhere'] as Genome;
  const [{ ids }] = randomRows(tinyShape, [10], { seed: 25 }) as [TokenRow];
  const loss = async (targetStart: number): Promise<number> =>
    (await gradients(model, [genome], [{ ids, targetStart }])).losses[0] ?? Number.NaN;
  const nll = plain.targets({ ids, targetStart: 1 }, genome).map((target) => target.nll);
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  // The nll of position p stands at p - 1: position 0 has no token before it.
  for (const targetStart of [1, 6, 9]) {
    const found = await loss(targetStart);
    t.ok(Math.abs(found - mean(nll.slice(targetStart - 1))) < 1e-5, `targets from ${targetStart}: ${found}`);
  }
  t.equal(await loss(0), await loss(1), 'the first token is never a target');
});

/** Largest difference over the largest value wanted. */
function near(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference = Math.max(difference, Math.abs((found[i] as number) - (wanted[i] as number)));
    scale = Math.max(scale, Math.abs(wanted[i] as number));
  }
  return difference / scale;
}
