import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startAgent } from '@fleetlora/agent';
import { openDataFolder } from '@fleetlora/agent/folder';
import type { MeasureJob, QualifyJob } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { openEnrolledDevice } from '../lib/agent-process.js';
import { genomeText } from '../lib/measure-tasks.js';
import { type ScriptedMachine, scriptMachine } from '../lib/scripted-machine.js';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** An agent in this process, on a machine that a test writes. */
async function openAgent(t: Test, machine: ScriptedMachine) {
  const { coordinator, data, model } = await openEnrolledDevice(t);
  const agent = await startAgent(
    { dataFolder: data, servePort: 0, serveThreads: 1, logLevel: 'silent' },
    quiet,
    { machine },
  );
  t.teardown(() => agent.stop());
  await coordinator.next('birth');
  const job = (number: number, changes: Partial<MeasureJob> = {}): MeasureJob => ({
    jobId: `job_${String(number).padStart(10, '0')}`,
    genome: genomeText('unmerged', 4),
    baseDigest: model.baseDigest,
    adapterDigest: model.adapterDigest,
    plan: { promptTokens: 4, kvTokens: 4, prefillRepeats: 1, decodeRepeats: 2, threads: 1, sessions: 2 },
    timeoutMs: 60_000,
    ...changes,
  });
  /** What was told of a job until now, "timing 1/2". */
  const progress = async (jobId: string): Promise<string[]> => {
    const told: string[] = [];
    while (coordinator.waiting('progress') > 0) {
      const { body } = await coordinator.next('progress');
      t.equal(body.jobId, jobId);
      told.push(body.done === undefined ? body.step : `${body.step} ${body.done}/${body.of}`);
    }
    return told;
  };
  return { coordinator, data, job, progress };
}

t.test('a batch of 2: its steps are told as they begin, its result holds both', async (t) => {
  const { coordinator, data, job, progress } = await openAgent(t, scriptMachine());
  await coordinator.send('job', job(1, { others: [genomeText('unmerged', 2)] }));
  const { body } = await coordinator.next('result');
  if (body.outcome !== 'measured') throw new Error(JSON.stringify(body));
  t.same([body.measurement.batch?.position, body.others?.map(({ batch }) => batch?.position)], [0, [1]]);
  t.same(await progress('job_0000000001'), [
    'waiting',
    'fetching',
    'timing 0/2',
    'timing 1/2',
    'weighing 0/2',
    'weighing 1/2',
  ]);
  t.same(await readdir((await openDataFolder(data)).scratch), []);
});

t.test('a job that waits for the machine says so, and is canceled there', async (t) => {
  const machine = scriptMachine([{}], {
    waitUntilCool: (signal) =>
      new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  });
  const { coordinator, job } = await openAgent(t, machine);
  await coordinator.send('job', job(1));
  for (;;) if ((await coordinator.next('progress')).body.step === 'cooling') break;
  await coordinator.send('cancel', { jobId: 'job_0000000001' });
  t.match(await coordinator.next('result'), { body: { jobId: 'job_0000000001', outcome: 'canceled' } });
});

t.test('a qualification of 2 runs: its runs are told, its result is kept for a report', async (t) => {
  const { coordinator, data, progress } = await openAgent(t, scriptMachine());
  const job: QualifyJob = {
    jobId: 'job_0000000001',
    kind: 'qualify',
    runs: 2,
    pauseMs: 10,
    timeoutMs: 300_000,
  };
  await coordinator.send('job', job);
  const { body } = await coordinator.next('result');
  if (body.outcome !== 'qualified') throw new Error(JSON.stringify(body));
  t.equal(body.qualification.runs.length, 2);
  t.same(await progress('job_0000000001'), ['waiting', 'timing 0/2', 'pausing 1/2', 'timing 1/2']);
  const folder = await openDataFolder(data);
  t.ok((await readdir(folder.root)).includes('qualification.json'));
  t.same(await readdir(folder.scratch), []);
  t.same(join(folder.root, 'qualification.json'), folder.qualificationFile);
});
