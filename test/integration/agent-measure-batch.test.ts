import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Measured, type MeasureTask, measureJob } from '@fleetlora/agent/measure';
import { Measurement, parseAs } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { quantile, sessionDifference, splitSessions } from '@fleetlora/shared/statistics';
import t from 'tap';
import { calmDoors, genomeText, openMeasureTask } from '../lib/measure-tasks.js';

const child = (name: string): URL => new URL(`../lib/children/${name}-child.js`, import.meta.url);
const plan = {
  promptTokens: 8,
  kvTokens: 16,
  prefillRepeats: 6,
  decodeRepeats: 20,
  threads: 1,
  sessions: 3,
  provider: 'cpu' as const,
};
const genome = genomeText('unmerged', 4);
const others = [genomeText('unmerged', 1), 'g1:u:4.2.1.3.8/2.2.4.4.8'];

async function measured(task: MeasureTask, doors = calmDoors()): Promise<Required<Measured>> {
  const outcome = await measureJob(task, doors);
  if (outcome.outcome !== 'measured') throw new Error(outcome.reason);
  if (!outcome.others) throw new Error('no others');
  for (const one of [outcome.measurement, ...outcome.others]) parseAs(Measurement, one, 'measurement');
  return outcome as Required<Measured>;
}

t.test('a batch of 3 in 3 sessions: one comparison, told by each of its candidates', async (t) => {
  const steps: string[] = [];
  const task = await openMeasureTask(t, { genome, others, plan });
  const found = await measured(
    task,
    calmDoors({
      onProgress: (step, done, of) => steps.push(done === undefined ? step : `${step} ${done}/${of}`),
    }),
  );
  t.equal(found.others.length, 2);
  t.same(steps, ['timing 0/3', 'timing 1/3', 'timing 2/3', 'weighing 0/3', 'weighing 1/3', 'weighing 2/3']);
  t.same(await readdir(join(task.folder, 'scratch')), []);

  const all = [found.measurement, ...found.others];
  t.same(
    all.map(({ batch }) => [batch?.size, batch?.position]),
    [
      [3, 0],
      [3, 1],
      [3, 2],
    ],
  );
  t.equal(new Set(all.map(({ batch }) => batch?.seed)).size, 1);
  for (const { prefill, decode, peakBytes, baselineBytes, form, flags } of all) {
    t.same(
      [prefill.sessionSizes, decode.sessionSizes],
      [
        [2, 2, 2],
        [7, 7, 7],
      ],
    );
    t.same([prefill.samplesMs.length, decode.samplesMs.length], [6, 21]);
    t.ok(peakBytes > baselineBytes, 'each was weighed');
    t.equal(form, 'unmerged');
    t.match(flags, ['fewSessions']);
  }
  // Ranks 4, 1 and the mixed one: fewer rows are fewer bytes.
  const [full = 0, thin = 0, mixed = 0] = all.map(({ shippedBytes }) => shippedBytes);
  t.ok(thin < mixed && mixed < full, `${[full, thin, mixed]}`);

  // Every figure can be worked out again from what is told.
  const shared = found.measurement.batch?.sharedSamplesMs;
  for (const quantity of ['prefill', 'decode'] as const) {
    const reference = shared?.[quantity] as number[];
    const absolute = found.measurement[quantity];
    t.equal(absolute.offsetMs, 0);
    const offset = absolute.p50Ms - quantile(reference, 0.5);
    for (const { [quantity]: timing, batch } of found.others) {
      t.ok(Math.abs((timing.offsetMs ?? 0) - offset) < 2e-4, `${timing.offsetMs} for ${offset}`);
      const p50 = quantile(timing.samplesMs, 0.5) + (timing.offsetMs ?? 0);
      t.ok(Math.abs(timing.p50Ms - Math.max(0, p50)) < 2e-4);
      const [own, first] = [timing.samplesMs, reference].map((samples) =>
        splitSessions(samples, timing.sessionSizes ?? []),
      );
      const again = sessionDifference(own ?? [], first ?? []);
      // Samples are told to 0.1 µs of about 100.
      t.ok(Math.abs(again.percent - (batch?.difference[quantity].percent ?? 0)) < 0.5);
      t.same(batch?.duplicate[quantity], found.measurement.batch?.duplicate[quantity]);
    }
  }
});

t.test(
  'equal chance gives an equal seed, other chance another; a pair of one genome is a batch',
  async (t) => {
    const seeds: (number | undefined)[] = [];
    for (const chance of [5, 5, 6]) {
      const task = await openMeasureTask(t, { genome, others: [genome], plan: { ...plan, sessions: 1 } });
      const found = await measured(task, calmDoors({ random: createRandom(chance) }));
      seeds.push(found.measurement.batch?.seed);
      t.equal(found.measurement.shippedBytes, found.others[0]?.shippedBytes);
    }
    t.equal(seeds[0], seeds[1]);
    t.not(seeds[0], seeds[2]);
  },
);

t.test('a death in a batch is the outcome of all: nobody can tell whose it is', async (t) => {
  for (const [entries, step] of [
    [{ session: child('abort') }, 'timing'],
    [{ memory: child('abort') }, 'weighing'],
  ] as const) {
    const task = await openMeasureTask(t, { genome, others, plan: { ...plan, sessions: 1 } });
    t.same(await measureJob(task, calmDoors({ entries })), {
      outcome: 'infeasible',
      reason: `${step} crashed with SIGABRT`,
    });
  }
});

t.test('what cannot be compared is rejected, and named', async (t) => {
  const reject = async (changes: Partial<MeasureTask>, reason: RegExp): Promise<void> =>
    void t.match(await measureJob(await openMeasureTask(t, { genome, plan, ...changes }), calmDoors()), {
      outcome: 'rejected',
      reason,
    });
  await reject(
    { others: ['g1:u:4.4.4.4.7/4.4.4.4.8'] },
    /g1:u:4\.4\.4\.4\.7\S* has another shape than g1:u:4\.4\.4\.4\.8/,
  );
  await reject({ others: ['g1:u:4.0.4.4.8/4.4.4.4.8'] }, /4\.0\.4\.4\.8.* another shape/);
  await reject({ others: [genomeText('merged')] }, /another shape/);
  await reject({ genome: genomeText('merged'), others: [genomeText('merged', 2)] }, /batch of merged/);
  await reject({ others: ['g1:u:5.4.4.4.8/4.4.4.4.8'] }, /qkv rank 5.*is 4/);
  await reject({ others: Array.from({ length: 8 }, () => genome) }, /batch of 9 .*at most 8/);
  // 9 sets of 2 · 1020 samples, and 15,639 fit: (192 - 24) KiB of 11 characters each.
  await reject(
    {
      others: Array.from({ length: 7 }, () => genome),
      plan: { ...plan, sessions: 5, prefillRepeats: 1024, decodeRepeats: 1024 },
    },
    /hold 18360 samples, at most 15639/,
  );
  await reject({ plan: { ...plan, provider: 'xnnpack' as 'cpu' } }, /provider xnnpack.*has cpu/);
});
