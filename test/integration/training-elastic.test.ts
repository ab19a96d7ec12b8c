import { elasticityOf } from '@fleetlora/coordinator/training';
import type { LayerElasticity } from '@fleetlora/shared/graph';
import { bindSearchSpace, type Genome, skippedLayer, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { gradientError, takeGradients } from '../lib/gradient-checks.js';
import { type PlainLlama, readPlainLlama } from '../lib/plain-llama.js';
import { createTinyModel, randomRows, type TinyModelOptions, tinyShape } from '../lib/tiny-model.js';

/** Of the length of a factor's gradient: single precision. */
const TOLERANCE = 3e-5;
const rows = randomRows(tinyShape, [7, 5], { seed: 21, targets: 3 });
const everything: LayerElasticity = { width: true, kvHeads: true, skip: true };
const nothing: LayerElasticity = { width: false, kvHeads: false, skip: false };
const ranks = { qkv: 3, o: 2, gateUp: 4, down: 1 };
const whole = { ranks, width: 24 };

const cases: [string, Genome['layers'], LayerElasticity, TinyModelOptions][] = [
  ['nothing cut, no slices', [whole, whole], nothing, {}],
  [
    'one of two heads in both layers',
    [
      { ...whole, kvHeads: 1 },
      { ...whole, kvHeads: 1 },
    ],
    everything,
    {},
  ],
  [
    'heads and widths cut, each layer its own way',
    [
      { ranks, width: 12, kvHeads: 1 },
      { ranks, width: 18 },
    ],
    everything,
    {},
  ],
  ['first layer left out', [skippedLayer, whole], everything, {}],
  ['last layer left out', [whole, skippedLayer], everything, {}],
  [
    'three of four heads, no grouping, biases of q, k and v',
    [
      { ...whole, kvHeads: 3 },
      { ...whole, kvHeads: 1 },
    ],
    everything,
    { shape: { kvHeads: 4, architecture: 'qwen2', qkvBias: true } },
  ],
  [
    'middle of three layers left out, head cut, window of 3 tokens, head of its own',
    [whole, skippedLayer, { ranks, width: 6, kvHeads: 1 }],
    everything,
    { shape: { layers: 3, architecture: 'mistral', slidingWindow: 3, tiedHead: false } },
  ],
];

for (const [name, layers, elastic, options] of cases) {
  t.test(`${name}: loss and gradients equal the masked computation and its slopes`, async (t) => {
    const model = await createTinyModel(t.testdir(), options);
    const plain = await readPlainLlama(model);
    const genome: Genome = { form: 'unmerged', layers };
    const found = await takeGradients(model, [genome], rows, { elastic: layers.map(() => elastic) });
    t.ok(
      Math.abs((found.losses[0] ?? 0) - plain.loss(rows, genome)) < 1e-5,
      `loss ${found.losses[0]}, wanted ${plain.loss(rows, genome)}`,
    );
    let worst = 0;
    for (const view of found.parameters.factors) {
      const loss = (): number => plain.loss(rows, genome);
      worst = Math.max(worst, gradientError(plain, found, view, loss));
      const gradient = found.parameters.gradient.subarray(view.start, view.start + view.rows * view.columns);
      t.equal(
        gradient.some((value) => value !== 0),
        !layers[view.layer]?.skipped,
        `${view.name} has a gradient unless its layer is left out`,
      );
    }
    t.ok(worst < TOLERANCE, `${worst} of the gradient off`);
  });
}

/** (1 − w)·nll + w·KL(teacher ‖ student), mean over the targets, with the teacher held. */
function distilledLoss(plain: PlainLlama, teacher: Genome, student: Genome, share: number): () => number {
  const held = rows.map((row) => plain.logits(row.ids, teacher).map(logSoftmax));
  return () => {
    const terms = rows.flatMap((row, index) => {
      const logits = plain.logits(row.ids, student).map(logSoftmax);
      return Array.from(row.ids.subarray(row.targetStart), (id, at) => {
        const own = logits[row.targetStart + at - 1] as Float64Array;
        const taught = held[index]?.[row.targetStart + at - 1] as Float64Array;
        const divergence = taught.reduce(
          (sum, value, token) => sum + Math.exp(value) * (value - (own[token] as number)),
          0,
        );
        return share * divergence - (1 - share) * (own[id] as number);
      });
    });
    return terms.reduce((sum, term) => sum + term, 0) / terms.length;
  };
}

function logSoftmax(logits: Float64Array): Float64Array {
  const largest = Math.max(...logits);
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return logits.map((value) => value - largest - Math.log(sum));
}

for (const share of [0.3, 1]) {
  t.test(
    `distillation with share ${share}: the smaller ones' gradients are the slopes of ${share} KL and ${1 - share} nll`,
    async (t) => {
      const model = await createTinyModel(t.testdir());
      const plain = await readPlainLlama(model);
      const max = uniformGenome(2, 4, 24);
      const narrow: Genome = { form: 'unmerged', layers: [{ ranks, width: 12, kvHeads: 1 }, skippedLayer] };
      const small = uniformGenome(2, 1, 6);
      const elastic = [everything, everything];
      const found = await takeGradients(model, [max, narrow, small], rows, { elastic, distil: share });
      for (const [index, genome] of [max, narrow, small].entries())
        t.ok(
          Math.abs((found.losses[index] ?? 0) - plain.loss(rows, genome)) < 1e-5,
          'losses told are those of the data',
        );
      const students = [narrow, small].map((genome) => distilledLoss(plain, max, genome, share));
      const loss = (): number =>
        (plain.loss(rows, max) + students.reduce((sum, student) => sum + student(), 0)) / 3;
      let worst = 0;
      for (const view of found.parameters.factors)
        worst = Math.max(worst, gradientError(plain, found, view, loss));
      t.ok(worst < TOLERANCE, `${worst} of the gradient off`);
    },
  );
}

t.test('distillation over several micro-batches: each has its own teacher rows', async (t) => {
  const model = await createTinyModel(t.testdir());
  const many = randomRows(tinyShape, Array(100).fill(30), { seed: 26, targets: 2 });
  const genomes = [uniformGenome(2, 4, 24), uniformGenome(2, 2, 12)];
  const all = await takeGradients(model, genomes, many, { distil: 0.5 });
  const halves = [many.slice(0, 50), many.slice(50)];
  const wanted = new Float64Array(all.parameters.gradient.length);
  for (const half of halves) {
    const { parameters } = await takeGradients(model, genomes, half, { distil: 0.5 });
    parameters.gradient.forEach((value, at) => {
      wanted[at] = (wanted[at] as number) + value / 2;
    });
  }
  const off = Math.hypot(...all.parameters.gradient.map((value, at) => value - (wanted[at] as number)));
  t.ok(off / Math.hypot(...wanted) < 1e-4, `${off}`);
});

t.test('a cut that the graph was not built for is a defect', async (t) => {
  const model = await createTinyModel(t.testdir());
  for (const layers of [
    [skippedLayer, whole],
    [{ ...whole, kvHeads: 1 }, whole],
    [{ ranks, width: 12 }, whole],
  ])
    await t.rejects(
      takeGradients(model, [{ form: 'unmerged', layers }], rows, { elastic: [nothing, nothing] }),
      coded('BUG', 'layer 0'),
    );
});

t.test('only what a space cuts is sliced', async (t) => {
  const space = (widthPercents: number[]) =>
    bindSearchSpace(
      {
        version: 1,
        name: 'tiny',
        rankMax: 4,
        alpha: 8,
        ranks: { qkv: [1, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
        widthPercents,
        layers: [0],
        forms: ['unmerged'],
      },
      { layerCount: 2, ffnWidth: 24 },
    );
  t.same(elasticityOf(space([100]), { ffnWidth: 24 }), [nothing, nothing]);
  t.same(elasticityOf(space([100, 50]), { ffnWidth: 24 }), [{ ...nothing, width: true }, nothing]);
  const fixed = { ...nothing, width: true };
  t.same(elasticityOf(space([50]), { ffnWidth: 24 }), [fixed, fixed], 'one width that is not the whole');
});
