import { readdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { gateLimitsOf, openMachine } from '@fleetlora/agent/host';
import type { MeasureOutcome, MeasureTask } from '@fleetlora/agent/measure';
import {
  formatReport,
  keepQualification,
  makeReport,
  type QualifyTask,
  qualifyDevice,
  quickExtent,
  readKeptQualification,
  standardDigests,
  standardGenome,
  standardPlan,
} from '@fleetlora/agent/qualify';
import { sha256File } from '@fleetlora/shared/node';
import { DeviceReport, parseAs, Qualification } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { createManualClock } from '../lib/manual-clock.js';
import { calmMachine, makeMeasurement } from '../lib/measurements.js';
import { layMachine, recordedMachines } from '../lib/recorded-machines.js';
import { tempFolder } from '../lib/temp-folder.js';
import { testFacts } from '../lib/test-device.js';

const failure = (outcome: 'infeasible' | 'failed', reason: string): MeasureOutcome => ({ outcome, reason });
const success = (...of: Parameters<typeof makeMeasurement>): MeasureOutcome => ({
  outcome: 'measured',
  measurement: makeMeasurement(...of),
});

/** A task in a folder of its own, and measuring that answers as told, one answer a run. */
async function openTask(t: Test, answers: readonly MeasureOutcome[], changes: Partial<QualifyTask> = {}) {
  const folder = await tempFolder(t);
  const scratch = join(folder, 'scratch');
  const clock = createManualClock();
  const asked: MeasureTask[] = [];
  const told: string[] = [];
  return {
    folder,
    clock,
    asked,
    told,
    task: { runs: answers.length, pauseMs: 1, timeoutMs: 120_000, facts: testFacts, scratch, ...changes },
    doors: {
      clock,
      async measure(task: MeasureTask) {
        asked.push(task);
        return answers[asked.length - 1] ?? failure('failed', 'asked too often');
      },
      onRun: (step: string, done: number, of: number) => told.push(`${step} ${done}/${of}`),
    },
  };
}

t.test('a device of 3 runs within 1 % is steady; each run measures the same files', async (t) => {
  const opened = await openTask(t, [success(100), success(101), success(100.5)]);
  const { asked, told, task, doors, folder } = opened;
  const digests: string[] = [];
  const outcome = await qualifyDevice(task, {
    ...doors,
    async measure(run) {
      digests.push(
        await sha256File(join(run.folder, run.base)),
        await sha256File(join(run.folder, run.adapter)),
      );
      return doors.measure(run);
    },
  });
  if (outcome.outcome !== 'qualified') return t.fail(JSON.stringify(outcome));
  parseAs(Qualification, outcome.qualification, 'qualification');
  t.match(outcome.qualification, {
    accepted: true,
    spreadPercent: 0.995,
    standard: 'standard-1',
    threads: 1,
    agentVersion: '0.3.0',
    runtime: testFacts.runtime,
    provider: 'cpu',
    cpuModel: testFacts.cpuModel,
  });
  t.strictSame(told, ['run 0/3', 'pausing 1/3', 'run 1/3', 'pausing 2/3', 'run 2/3']);
  const { base, adapter } = standardDigests;
  t.strictSame(digests, [base, adapter, base, adapter, base, adapter]);
  for (const run of asked) {
    t.match(run, { genome: standardGenome, baseDigest: base, adapterDigest: adapter });
    t.strictSame(run.plan, standardPlan);
  }
  t.same(await readdir(folder), [], 'nothing of the standard model stays');
});

for (const outcome of ['infeasible', 'failed'] as const)
  t.test(`a run that is ${outcome} ends the qualification, and the files go`, async (t) => {
    const reason = 'timing crashed with SIGSEGV';
    const { task, doors, asked, folder } = await openTask(t, [
      success(1),
      failure(outcome, reason),
      success(1),
    ]);
    t.strictSame(await qualifyDevice(task, doors), { outcome, reason });
    t.equal(asked.length, 2);
    t.same(await readdir(folder), []);
  });

t.test('canceled in a pause of ten minutes, it ends at once', async (t) => {
  const abort = new AbortController();
  const changes = { pauseMs: 600_000, signal: abort.signal };
  const { task, doors, asked } = await openTask(t, [success(1), success(1)], changes);
  const onRun = (step: string): void => {
    if (step === 'pausing') abort.abort();
  };
  t.match(await qualifyDevice(task, { ...doors, onRun }), { outcome: 'canceled' });
  t.equal(asked.length, 1);
});

t.test('the time is for all runs together; waiting for the machine does not count', async (t) => {
  const waitedMs = { cooling: 30_000, quiet: 1000, serving: 500 };
  const answers = [success(1), success(1, { machine: { ...calmMachine, waitedMs } }), success(1)];
  const { task, doors, asked, clock } = await openTask(t, answers);
  const took = [20_000, 41_500, 0];
  await qualifyDevice(task, {
    ...doors,
    measure(run) {
      clock.advance(took[asked.length] as number);
      return doors.measure(run);
    },
  });
  // 120 s; less 20 s; less 41.5 s of which 31.5 were waiting.
  t.strictSame(
    asked.map(({ timeoutMs }) => timeoutMs),
    [120_000, 100_000, 90_000],
  );
});

t.test('a time that is over before the standard model is made', async (t) => {
  const { task, doors, asked } = await openTask(t, [success(1)], { timeoutMs: 1 });
  t.match(await qualifyDevice(task, doors), {
    outcome: 'failed',
    reason: /^making the standard model was not done after the job's 1 ms/,
  });
  t.equal(asked.length, 0);
});

t.test('the last qualification is kept; what is none counts as no qualification', async (t) => {
  const { task, doors, folder } = await openTask(t, [success(1), success(1.1)]);
  const path = join(folder, 'qualification.json');
  t.equal(await readKeptQualification(path), null);
  const outcome = await qualifyDevice(task, doors);
  if (outcome.outcome !== 'qualified') return t.fail(JSON.stringify(outcome));
  await keepQualification(path, outcome.qualification);
  t.strictSame((await readKeptQualification(path))?.qualification, outcome.qualification);
  await writeFile(path, '{"accepted": true}');
  t.equal(await readKeptQualification(path), null);
  await writeFile(path, 'half of');
  t.equal(await readKeptQualification(path), null);
});

/** Everything a report needs, on a recorded Raspberry Pi with answers as told. */
async function openReport(t: Test, answers: readonly MeasureOutcome[]) {
  const { task, doors, clock, asked } = await openTask(t, answers);
  const root = await layMachine(t, recordedMachines.raspberryPi5);
  const limits = gateLimitsOf({ coolWaitSeconds: 0, quietWaitSeconds: 0 });
  const machine = await openMachine({ clock, limits, root, emulated: false });
  const make = () =>
    makeReport({ ...task, facts: testFacts, root, extent: quickExtent }, { ...doors, machine });
  return { make, asked };
}

t.test(
  'a report: the machine, its runs, and the standard candidate with one and with all threads',
  async (t) => {
    const { make, asked } = await openReport(
      t,
      [2, 2.02, 2, 1.2].map((ms) => success(ms)),
    );
    const outcome = await make();
    if (outcome.outcome !== 'reported') return t.fail(JSON.stringify(outcome));
    const { report } = outcome;
    t.match(report, {
      format: 'fleetlora-report',
      version: 1,
      // The clock's start.
      day: '2023-11-14',
      quick: true,
      hardware: { cpuModel: 'Cortex-A72', coreKinds: [{ count: 4, model: 'cortex-a76' }] },
      software: { agent: '0.3.0', runtime: testFacts.runtime, node: process.versions.node },
      sensors: { governor: 'ondemand', throttling: true, thermometers: [{ name: 'cpu-thermal' }] },
      qualification: { accepted: true, spreadPercent: 1 },
    });
    const cores = report.hardware.cores;
    const threads = cores === 1 ? [1] : [1, Math.min(cores, 256)];
    t.strictSame(
      report.benchmark.map((entry) => entry.threads),
      threads,
    );
    t.strictSame(
      asked.map(({ plan }) => [plan.threads, plan.sustainedSeconds ?? 0]),
      [[1, 0], [1, 0], ...threads.map((count) => [count, 2])],
    );
    const text = formatReport(report);
    t.strictSame(parseAs(DeviceReport, JSON.parse(text), 'report'), JSON.parse(JSON.stringify(report)));
    t.match(text, /"samplesMs": \[2, 2, 2, /, 'samples stand on one line');
  },
);

t.test('an infeasible standard candidate is a finding; reasons name neither files nor people', async (t) => {
  const { make } = await openReport(t, [
    failure('infeasible', `timing found no memory: mmap of /home/alice/agent/scratch/base on ${hostname()}`),
  ]);
  const outcome = await make();
  if (outcome.outcome !== 'reported') return t.fail(JSON.stringify(outcome));
  const infeasible = hostname().length < 3 ? /^timing/ : /^timing found no memory: mmap of … on …$/;
  t.match(outcome.report, {
    qualification: { infeasible },
    benchmark: [{ threads: 1, result: { infeasible } }],
  });
});

t.test('whatever else ends a measurement ends the report', async (t) => {
  const { make } = await openReport(t, [success(1), success(1), failure('failed', 'no reason')]);
  t.strictSame(await make(), { outcome: 'failed', reason: 'no reason' });
});
