import { type Measured, type MeasureTask, measureJob } from '@fleetlora/agent/measure';
import { type Beside, Measurement, parseAs } from '@fleetlora/shared/protocol';
import { encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import { median, sessionRatio, splitSessions } from '@fleetlora/shared/statistics';
import t from 'tap';
import { calmDoors, genomeText, openMeasureTask } from '../lib/measure-tasks.js';
import { quantisableShape, quantiseTinyModel } from '../lib/quantised-model.js';
import { tempFolder } from '../lib/temp-folder.js';
import { createTinyModel } from '../lib/tiny-model.js';

const child = (name: string): URL => new URL(`../lib/children/${name}-child.js`, import.meta.url);
const plan = {
  promptTokens: 8,
  kvTokens: 16,
  prefillRepeats: 6,
  decodeRepeats: 30,
  threads: 1,
  sessions: 3,
  provider: 'cpu' as const,
};
const sentinel = genomeText('unmerged', 1);

async function measured(task: MeasureTask, doors = calmDoors()): Promise<Measured> {
  const outcome = await measureJob(task, doors);
  if (outcome.outcome !== 'measured') throw new Error(outcome.reason);
  for (const one of [outcome.measurement, ...(outcome.others ?? [])])
    parseAs(Measurement, one, 'measurement');
  return outcome;
}

for (const form of ['unmerged', 'merged'] as const)
  t.test(`${form}: turns with the sentinel in 12 sessions, every figure from the samples told`, async (t) => {
    const steps: string[] = [];
    const task = await openMeasureTask(t, { genome: genomeText(form), sentinel, plan });
    const { measurement } = await measured(
      task,
      calmDoors({
        onProgress: (step, done, of) => steps.push(done === undefined ? step : `${step} ${done}/${of}`),
      }),
    );
    const timing = ['timing 0/3', 'timing 1/3', 'timing 2/3'];
    const turns = Array.from({ length: 12 }, (_, session) => `timing ${session}/12`);
    t.same(steps, [...(form === 'merged' ? ['merging'] : []), ...timing, ...turns, 'weighing 0/1']);
    const beside = measurement.beside as Beside;
    t.equal(beside.sentinel, sentinel);
    for (const [quantity, share] of [
      ['prefill', 1],
      ['decode', 5],
    ] as const) {
      const { sessionSizes, samplesMs, sentinelSamplesMs, ratio, low, high, p50Ms } = beside[quantity];
      t.same(sessionSizes, Array(12).fill(share));
      const again = sessionRatio(
        splitSessions(samplesMs, sessionSizes),
        splitSessions(sentinelSamplesMs, sessionSizes),
      );
      t.strictSame({ ratio, low, high }, again);
      t.ok(p50Ms > 0 && p50Ms <= Math.max(...samplesMs) && median(samplesMs) > 0);
    }
  });

t.test('of a batch the first candidate alone is timed beside the sentinel', async (t) => {
  const others = ['g1:u:4.2.1.3.8/2.2.4.4.8'];
  const task = await openMeasureTask(t, { genome: genomeText('unmerged', 4), others, sentinel, plan });
  const found = await measured(task);
  t.ok(found.measurement.beside);
  t.equal(found.others?.[0]?.beside, undefined);
});

t.test('scripted sessions: 20 and 2 ms beside 10 and 4 ms are ratios of 2 and a half', async (t) => {
  const task = await openMeasureTask(t, { sentinel, plan });
  const doors = calmDoors({ entries: { session: child('session-script'), beside: child('beside-script') } });
  const { beside } = (await measured(task, doors)).measurement;
  t.equal(beside?.prefill.ratio.toFixed(9), '2.000000000');
  t.equal(beside?.decode.ratio.toFixed(9), '0.500000000');
  t.same([beside?.decode.p50Ms, beside?.decode.sentinelP50Ms], [2, 4]);
});

t.test(
  'a crash of both together says nothing of the candidate: it is measured without a ratio',
  async (t) => {
    const task = await openMeasureTask(t, { sentinel, plan });
    const { measurement } = await measured(task, calmDoors({ entries: { beside: child('abort') } }));
    t.equal(measurement.beside, undefined);
    t.equal(measurement.decode.n, 30);
  },
);

for (const [wrong, named] of [
  [genomeText('merged', 1), /sentinel .*merged.*unmerged/],
  [genomeText('unmerged', 1, 8, 3), /3 layers, the base 2/],
] as const)
  t.test(`the sentinel ${wrong} is rejected`, async (t) => {
    const task = await openMeasureTask(t, { sentinel: wrong, plan });
    t.match(await measureJob(task, calmDoors()), { outcome: 'rejected', reason: named });
  });

t.test('a plan whose samples and turns do not fit into a message is rejected', async (t) => {
  const most = { ...plan, prefillRepeats: 1024, decodeRepeats: 1024, sessions: 1 };
  const others = Array.from({ length: 4 }, (_, index) => `g1:u:4.4.4.4.8/4.4.4.${index + 1}.8`);
  // Five candidates and the first one's shared samples are 6 × 2,048; with turns 8 × 2,048.
  const task = await openMeasureTask(t, { others, sentinel, plan: most });
  t.match(await measureJob(task, calmDoors()), { outcome: 'rejected', reason: /16384 samples/ });
});

t.test('a sentinel in q4 beside a candidate in fp32 runs on a weight file of its own', async (t) => {
  const model = await createTinyModel(await tempFolder(t), { shape: quantisableShape });
  const { base: twin } = await quantiseTinyModel(model, 'q4');
  const task = await openMeasureTask(t, {
    folder: model.folder,
    base: model.base.fileName,
    adapter: model.adapter.fileName,
    baseDigest: model.base.fileName,
    adapterDigest: model.adapter.fileName,
    genome: encodeGenome(uniformGenome(3, 4, 128)),
    sentinel: encodeGenome({ ...uniformGenome(3, 1, 64), precision: 'q4' }),
    sentinelBase: twin.fileName,
    plan,
  });
  const { measurement } = await measured(task);
  t.equal(measurement.beside?.sentinel, task.sentinel);
  t.ok((measurement.beside?.decode.ratio ?? 0) > 0);
  const { sentinelBase: _, ...without } = task;
  t.match(await measureJob(without, calmDoors()), { outcome: 'rejected', reason: /q4, the base file fp32/ });
});
