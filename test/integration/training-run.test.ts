import {
  adaptedModules,
  type Checkpoint,
  createLoraParameters,
  decodeCheckpoint,
  encodeAdapter,
  encodeCheckpoint,
  type TrainingHooks,
  type TrainingProgress,
  type TrainingRun,
  trainSuperAdapter,
} from '@fleetlora/coordinator/training';
import { openScorer } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { TrainingOptions } from '@fleetlora/shared/protocol';
import { anchorGenome, bindSearchSpace, type SearchSpaceFile, uniformGenome } from '@fleetlora/shared/space';
import { bufferSource, readFloats, readTensorFile, roundToHalf } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { createTinyModel, randomRows, type TinyModel, tinyShape } from '../lib/tiny-model.js';

const spaceFile: SearchSpaceFile = {
  version: 1,
  name: 'tiny',
  rankMax: 4,
  alpha: 8,
  ranks: { qkv: [1, 2, 4], o: [0, 4], gateUp: [1, 2, 4], down: 'gateUp' },
  widthPercents: [100, 75, 50],
  forms: ['unmerged'],
};
const space = bindSearchSpace(spaceFile, { layerCount: tinyShape.layers, ffnWidth: tinyShape.ffnWidth });
const options: TrainingOptions = {
  steps: 9,
  batchRows: 4,
  learningRate: 1e-2,
  warmupSteps: 2,
  weightDecay: 0.01,
  clipNorm: 1,
  sampling: 'sandwich',
  randomSubnets: 2,
  maxTokens: 32,
  seed: 1,
  checkpointEverySteps: 4,
  threads: 1,
};
/** Ten rows in batches of four: epochs end inside batches. */
const rows = randomRows(tinyShape, [5, 9, 7, 6, 8, 5, 10, 6, 7, 9], { seed: 31, targets: 3 });

/** Ten milliseconds pass at every look. */
function tickingClock() {
  let now = 0;
  return { nowMs: () => now, monotonicMs: () => (now += 10) };
}

interface Observed {
  readonly progress: TrainingProgress[];
  /** As they would lie on disk. */
  readonly checkpoints: Uint8Array[];
  readonly values: Float32Array;
  readonly step: number;
}

async function train(
  model: TinyModel,
  change: Partial<TrainingRun> = {},
  hooks: Partial<TrainingHooks> = {},
): Promise<Observed> {
  const progress: TrainingProgress[] = [];
  const checkpoints: Uint8Array[] = [];
  const { parameters, step } = await trainSuperAdapter(
    createNodeRuntime(),
    tickingClock(),
    {
      shape: model.shape,
      base: model.base,
      weightFolder: model.folder,
      space,
      rows,
      options,
      checkpoint: null,
      ...change,
    },
    {
      onProgress: (entry) => progress.push(entry),
      onCheckpoint: async (checkpoint) => {
        checkpoints.push(encodeCheckpoint(checkpoint));
      },
      shouldStop: () => false,
      ...hooks,
    },
  );
  return { progress, checkpoints, values: parameters.values, step };
}
const losses = ({ progress }: Observed): number[] => progress.map(({ loss }) => loss);
const load = async (bytes: Uint8Array | undefined): Promise<Checkpoint> => {
  const count = createLoraParameters(tinyShape, 4, adaptedModules(space)).values.length;
  return decodeCheckpoint(await readTensorFile(bufferSource(bytes ?? new Uint8Array())), count);
};

for (const sampling of ['sandwich', 'uniform', 'rotation'] as const) {
  t.test(
    `${sampling}: taken up from the checkpoint of step 4 or 8, losses and weights are those of one run`,
    async (t) => {
      const model = await createTinyModel(t.testdir());
      const whole = await train(model, { options: { ...options, sampling } });
      t.same(
        whole.progress.map(({ step }) => step),
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
      );
      t.equal(whole.checkpoints.length, 2, 'steps 4 and 8; the end needs none');
      for (const [index, done] of [4, 8].entries()) {
        const checkpoint = await load(whole.checkpoints[index]);
        t.equal(checkpoint.step, done);
        const rest = await train(model, { options: { ...options, sampling }, checkpoint });
        t.same(losses(rest), losses(whole).slice(done));
        t.same(
          rest.progress.map(({ step }) => step),
          [5, 6, 7, 8, 9].slice(done - 4),
        );
        t.strictSame(rest.values, whole.values);
      }
    },
  );
}

t.test('stopped before step 6 it leaves a checkpoint of step 6, from which it goes on exactly', async (t) => {
  const model = await createTinyModel(t.testdir());
  const whole = await train(model);
  let seen = 0;
  const stopped = await train(model, {}, { shouldStop: () => seen++ === 6 });
  t.equal(stopped.step, 6);
  t.equal(stopped.checkpoints.length, 2, 'step 4, and step 6 at the stop');
  const rest = await train(model, { checkpoint: await load(stopped.checkpoints[1]) });
  t.same([...losses(stopped), ...losses(rest)], losses(whole));
  const never = await train(model, {}, { shouldStop: () => true });
  t.same([never.step, never.checkpoints.length], [0, 0], 'stopped before its first step it leaves nothing');
});

t.test('equal seeds give equal losses and weights, another seed gives others', async (t) => {
  const model = await createTinyModel(t.testdir());
  const short = { ...options, steps: 3 };
  const first = await train(model, { options: short });
  const second = await train(model, { options: short });
  t.same(losses(second), losses(first));
  t.strictSame(second.values, first.values);
  const other = await train(model, { options: { ...short, seed: 2 } });
  t.notSame(losses(other), losses(first));
});

t.test(
  'progress: warm-up rates 1/3, 2/3 and the peak of 0.01; tokens and time left by the clock',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const equal = randomRows(tinyShape, [8, 8, 8, 8], { seed: 32 });
    const { progress } = await train(model, { rows: equal });
    const rates = progress.map(({ learningRate }) => learningRate);
    for (const [step, wanted] of [0.01 / 3, 0.02 / 3, 0.01].entries())
      t.ok(Math.abs((rates[step] as number) - wanted) < 1e-12, `step ${step}: ${rates[step]}`);
    t.ok((rates[8] as number) > 0 && (rates[8] as number) < 1e-3);
    // Four sub-networks of 4·8 tokens a step, 10 ms each: 12,800 tokens a second, 8 steps of 10 ms left.
    t.equal(progress[0]?.tokensPerSecond, 12_800);
    t.ok(Math.abs((progress[0]?.etaSeconds ?? 0) - 0.08) < 1e-9);
    t.equal(progress[8]?.etaSeconds, 0);
    t.ok(progress.every(({ gradientNorm, steps }) => gradientNorm > 0 && steps === 9));
  },
);

t.test(
  'five rows learned by heart in 120 steps: loss of max falls below a twentieth, min below a fifth',
  async (t) => {
    const model = await createTinyModel(t.testdir());
    const few = rows.slice(0, 5);
    const { progress, values } = await train(model, {
      rows: few,
      options: {
        ...options,
        steps: 120,
        batchRows: 5,
        learningRate: 4e-2,
        warmupSteps: 10,
        randomSubnets: 1,
      },
    });
    const first = progress[0]?.firstLoss ?? 0;
    const last = progress.at(-1)?.firstLoss ?? 1;
    t.ok(last < first / 20, `${first} fell to ${last}`);

    const parameters = createLoraParameters(tinyShape, 4, adaptedModules(space));
    parameters.values.set(values);
    const bytes = encodeAdapter(parameters, {
      shape: tinyShape,
      baseDigest: model.base.fileName,
      ffnOrderDigest: model.base.file.metadata.ffnOrderDigest ?? '',
      rankMax: 4,
      alpha: 8,
    });
    const adapter = { fileName: 'trained', file: await readTensorFile(bufferSource(bytes)) };
    const scorer = await openScorer(createNodeRuntime(), {
      folder: model.folder,
      base: model.base,
      adapter,
      threads: 1,
    });
    const mean = async (genome: Parameters<typeof scorer.score>[0]): Promise<number> => {
      const scores = await scorer.score(genome, few);
      return (
        scores.reduce((sum, { nll }) => sum + nll, 0) / scores.reduce((sum, { targets }) => sum + targets, 0)
      );
    };
    const [max, min, none] = [
      await mean(anchorGenome(space, 'max')),
      await mean(anchorGenome(space, 'min')),
      await mean(uniformGenome(2, 0, 24)),
    ];
    t.ok(Math.abs(none - first) < 1e-4, 'training starts at the base: B is zero');
    t.ok(Math.abs(max - last) < 0.1 * first, `the file scores ${max}, the last step said ${last}`);
    t.ok(min < none / 5, `the smallest sub-network went from ${none} to ${min}`);
    await scorer.close();

    const [view] = parameters.factors.slice(1);
    const stored = await readFloats(adapter.file, view?.name ?? '');
    t.strictSame(
      stored,
      parameters.valuesOf(view as NonNullable<typeof view>).map(roundToHalf),
      'rounded to half precision once',
    );
  },
);

t.test('modules the space gives rank 0 have no factors', async (t) => {
  const ranks = { qkv: [0], o: [0], gateUp: [0, 2], down: [1, 2] };
  const other = bindSearchSpace({ ...spaceFile, ranks }, { layerCount: 2, ffnWidth: 24 });
  t.same(adaptedModules(other), ['gate', 'up', 'down']);
  t.same(adaptedModules(space), ['q', 'k', 'v', 'o', 'gate', 'up', 'down']);
  const model = await createTinyModel(t.testdir());
  const { progress } = await train(model, { space: other, options: { ...options, steps: 2 } });
  t.equal(progress.length, 2);
});

t.test('no rows, and a loss that is not finite, are refused', async (t) => {
  const model = await createTinyModel(t.testdir());
  await t.rejects(train(model, { rows: [] }), coded('DATA_EMPTY', 0));
  const wild = { ...options, learningRate: 1e30, warmupSteps: 0 };
  await t.rejects(train(model, { options: wild }), coded('BAD_REQUEST', 'loss', 'learning rate'));
});
