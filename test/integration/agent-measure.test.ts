import { fork } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type MeasureTask, measureJob } from '@fleetlora/agent/measure';
import { Measurement, parseAs } from '@fleetlora/shared/protocol';
import t from 'tap';
import { killChild } from '../lib/child-processes.js';
import { layReferenceModel } from '../lib/laid-models.js';
import { calmDoors, genomeText, openMeasureTask } from '../lib/measure-tasks.js';
import { missingReference } from '../lib/reference.js';
import { tempFolder } from '../lib/temp-folder.js';

const child = (name: string): URL => new URL(`../lib/children/${name}-child.js`, import.meta.url);
const doors = calmDoors();

for (const form of ['unmerged', 'merged'] as const)
  t.test(`${form}: a measurement holds all samples, loads, memory and bytes [rank 4, width 8]`, async (t) => {
    const job = await openMeasureTask(t, { genome: genomeText(form) });
    const { outcome, ...rest } = await measureJob(job, doors);
    t.equal(outcome, 'measured', JSON.stringify(rest));
    const { measurement } = rest as { measurement: Measurement };
    parseAs(Measurement, measurement, 'measurement');
    t.same(measurement.plan, job.plan);
    t.match(measurement.runtime, /^onnxruntime-node 1\./);
    // A plan of before 0.3 means two sessions; each takes half of 3 and of 5, rounded up.
    const { prefill, decode } = measurement;
    t.same(
      [prefill.sessionSizes, decode.sessionSizes],
      [
        [2, 2],
        [3, 3],
      ],
    );
    t.same([prefill.n, decode.n], [4, 6]);
    t.equal(prefill.samplesMs.length, 4);
    // Nearest rank: of 6 samples the p50 is the third, the p90 the sixth.
    const sorted = [...decode.samplesMs].sort((a, b) => a - b);
    t.equal(decode.p50Ms, sorted[2]);
    t.equal(decode.p90Ms, sorted[5]);
    t.same(decode.established, { p50: false, p90: false, p99: false });
    t.equal(measurement.coldLoadsMs?.length, 2);
    t.same([measurement.form, measurement.provider], [form, 'cpu']);
    t.match(measurement.flags, ['fewSessions']);
    t.same(
      [measurement.batch, measurement.energy, measurement.sustained],
      [undefined, undefined, undefined],
      'what was not asked for, or no sensor tells, is absent',
    );
    t.ok(measurement.coldLoadMs > 0 && measurement.warmLoadMs > 0);
    t.ok(measurement.peakBytes >= measurement.baselineBytes);
    t.ok(measurement.anonymousBytes > 0);
    // Weights of 2 bytes and a header. Merged: 2 layers of q 1024, k 512, v 512, o 1024 and three FFN
    // matrices of 256. Unmerged: 2 layers of rank 4 times (64 + 48 + 48 + 64 + 40 + 40 + 40).
    const weightBytes = form === 'merged' ? 2 * 3840 * 2 : 2 * 4 * 344 * 2;
    t.ok(measurement.shippedBytes > weightBytes, `${measurement.shippedBytes}`);
    t.ok(measurement.shippedBytes < weightBytes + 8192, `${measurement.shippedBytes}`);
    t.same((await readdir(job.folder)).sort(), ['adapter', 'base', 'scratch']);
    t.same(await readdir(join(job.folder, 'scratch')), [], 'nothing of the candidate stays');
  });

for (const [step, entries] of [
  ['merging', { preparation: child('abort') }],
  ['timing', { session: child('abort') }],
  ['weighing', { memory: child('abort') }],
] as const)
  t.test(`a child that crashes while ${step} makes the candidate infeasible`, async (t) => {
    const job = await openMeasureTask(t, { genome: genomeText('merged') });
    const outcome = await measureJob(job, { ...doors, entries });
    t.same(outcome, { outcome: 'infeasible', reason: `${step} crashed with SIGABRT` });
    t.same(await readdir(join(job.folder, 'scratch')), []);
  });

/** Counters of a kernel that counts a kill for memory at every look, at none, or does not count. */
const oomKills = {
  rising: () => {
    let group = 0;
    return async () => ({ group: group++, system: 7 });
  },
  still: () => async () => ({ group: 0, system: 7 }),
  missing: () => async () => ({ group: null, system: null }),
};
for (const [counters, outcome, reason, tries] of [
  ['rising', 'infeasible', 'weighing was killed by SIGKILL: the system ran out of memory', 1],
  ['still', 'failed', 'weighing was killed by SIGKILL again and again, though no memory was lacking', 2],
  ['missing', 'infeasible', 'weighing was killed by SIGKILL, most likely out of memory', 2],
] as const)
  t.test(
    `a child that SIGKILL ends, OOM counters ${counters}: ${outcome} after ${tries} tries`,
    async (t) => {
      const job = await openMeasureTask(t);
      const killed: string[] = [];
      const found = await measureJob(job, {
        ...doors,
        entries: { memory: child('sigkill') },
        readOomKills: oomKills[counters](),
        onKilled: (step, killer) => killed.push(`${step} by ${killer}`),
      });
      t.same(found, { outcome, reason });
      t.equal(killed.length, tries - 1);
    },
  );

const skip = process.platform === 'linux' ? false : 'looks for processes in /proc';
for (const step of ['merging', 'timing', 'weighing'] as const)
  t.test(
    `a child that is killed once while ${step} is run again, and the candidate is measured`,
    { skip },
    async (t) => {
      const job = await openMeasureTask(t, { genome: genomeText('merged') });
      const names = { merging: 'preparation-child', timing: 'session-child', weighing: 'memory-child' };
      const killed: string[] = [];
      const measuring = measureJob(job, {
        ...doors,
        readOomKills: oomKills.still(),
        onKilled: (killedStep, killer) => killed.push(`${killedStep} by ${killer}`),
      });
      await killChild(process.pid, names[step]);
      t.match(await measuring, { outcome: 'measured' });
      t.same(killed, [`${step} by other`]);
    },
  );

t.test('a child that hangs is killed at the timeout of the job', async (t) => {
  const job = await openMeasureTask(t, { timeoutMs: 1000 });
  const outcome = await measureJob(job, { ...doors, entries: { session: child('hang') } });
  t.match(outcome, { outcome: 'failed', reason: /timing was not done after the job's 1000 ms/ });
});

t.test('a canceled job', async (t) => {
  const abort = new AbortController();
  const job = await openMeasureTask(t, { signal: abort.signal });
  const running = measureJob(job, { ...doors, entries: { session: child('hang') } });
  abort.abort();
  t.match(await running, { outcome: 'canceled' });
});

t.test('candidates that do not fit are rejected, missing files are a failure', async (t) => {
  const check = async (changes: Partial<MeasureTask>) => measureJob(await openMeasureTask(t, changes), doors);
  const plan = { promptTokens: 8, kvTokens: 16, prefillRepeats: 1, decodeRepeats: 1, threads: 1 };
  t.match(await check({ genome: genomeText('unmerged', 5) }), {
    outcome: 'rejected',
    reason: /qkv rank 5.*is 4/,
  });
  t.match(await check({ genome: genomeText('unmerged', 4, 9) }), {
    outcome: 'rejected',
    reason: /width 9.*1 to 8/,
  });
  t.match(await check({ genome: genomeText('unmerged', 4, 8, 3) }), {
    outcome: 'rejected',
    reason: /3 layers.*base 2/,
  });
  t.match(await check({ genome: 'g1:u:04.4.4.4.8/4.4.4.4.8' }), { outcome: 'rejected' });
  t.match(await check({ base: 'lost' }), { outcome: 'failed', reason: /cannot open .*lost/ });
  // 64 positions: a cache of 63 leaves room for the step, 64 does not; prompts may fill all.
  t.match(await check({ plan: { ...plan, kvTokens: 63, promptTokens: 64 } }), { outcome: 'measured' });
  t.match(await check({ plan: { ...plan, kvTokens: 64 } }), {
    outcome: 'rejected',
    reason: /needs 65 .* has 64/,
  });
  t.match(await check({ plan: { ...plan, promptTokens: 65 } }), { outcome: 'rejected', reason: /needs 65/ });
});

t.test('a big parent does not show in the memory of its child', async (t) => {
  const job = await openMeasureTask(t);
  const parent = fork(new URL('../lib/children/big-parent.js', import.meta.url), [], { execArgv: [] });
  parent.send({
    files: { folder: job.folder, base: 'base', overlay: 'adapter', genome: job.genome },
    plan: job.plan,
    positions: 17,
    vocab: 257,
  });
  const [told] = (await once(parent, 'message')) as [
    { outcome: { answer: Measurement }; parentBytes: number },
  ];
  const { baselineBytes, peakBytes, anonymousBytes } = told.outcome.answer;
  t.ok(told.parentBytes > 300 * 2 ** 20, `the parent holds ${told.parentBytes}`);
  t.ok(baselineBytes < 200 * 2 ** 20, `baseline ${baselineBytes}`);
  t.ok(peakBytes < 250 * 2 ** 20, `peak ${peakBytes}`);
  t.ok(anonymousBytes < 200 * 2 ** 20, `anonymous ${anonymousBytes}`);
});

t.test('the super-adapter of the reference folder', { skip: missingReference('models') }, async (t) => {
  const model = await layReferenceModel();
  if (!model) return t.fail('no model');
  const folder = await tempFolder(t);
  await mkdir(join(folder, 'content'));
  await writeFile(join(folder, 'base'), model.base);
  await writeFile(join(folder, 'adapter'), model.adapter);
  await link(join(folder, 'base'), join(folder, 'content', 'base'));
  await link(join(folder, 'adapter'), join(folder, 'content', 'adapter'));
  const measure = async (genome: string) => {
    const job = {
      ...model,
      folder: join(folder, 'content'),
      base: 'base',
      adapter: 'adapter',
      genome,
      plan: { promptTokens: 128, kvTokens: 256, prefillRepeats: 2, decodeRepeats: 8, threads: 1 },
      scratch: join(folder, 'scratch'),
      timeoutMs: 120_000,
    };
    const outcome = await measureJob(job, doors);
    if (outcome.outcome !== 'measured') throw new Error(outcome.reason);
    return outcome.measurement;
  };
  const unmerged = await measure(genomeText('unmerged', 32, 768, 8));
  const merged = await measure(genomeText('merged', 32, 768, 8));
  // LoRA parameters at rank 32: 8 layers of 32 · (512 + 384 + 384 + 512 + 3 · 1024) = 1,245,184, of 2 bytes.
  t.ok(unmerged.shippedBytes > 2_490_368 && unmerged.shippedBytes < 2_490_368 + 16_384);
  // Merged: 8 layers of 2 · 256 · 256 + 2 · 256 · 128 + 3 · 256 · 768 = 6,291,456 weights of 2 bytes.
  t.ok(merged.shippedBytes > 12_582_912 && merged.shippedBytes < 12_582_912 + 16_384);
  // 7.3 M weights of 4 bytes are mapped or packed by any of them.
  for (const { peakBytes, baselineBytes } of [unmerged, merged]) t.ok(peakBytes - baselineBytes > 25e6);
});
