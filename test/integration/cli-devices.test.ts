import type { Device, JobResult, Qualification, QualifyJob } from '@fleetlora/shared/protocol';
import t from 'tap';
import { commandOf } from '../lib/command-of.js';
import { runCoordinator, type TestCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice, type TestConnection, testFacts } from '../lib/test-device.js';
import { testQualification } from '../lib/test-fleet.js';

const unsteady: Partial<Qualification> = {
  accepted: false,
  spreadPercent: 8.25,
  runs: [96, 99, 100, 101, 104.25].map((decodeMs) => ({ prefillMs: 40, decodeMs })),
  flags: ['onBattery', 'busy'],
};

/** A device that answers the next question whether it is steady; tells first how far it is. */
async function answer(
  connection: TestConnection,
  coordinator: TestCoordinator,
  result: (jobId: string) => JobResult,
): Promise<void> {
  const { body } = await connection.next('job');
  const { jobId, runs } = body as QualifyJob;
  await connection.send('progress', { jobId, step: 'timing', done: 3, of: runs });
  const [device] = await coordinator.call<Device[]>('GET /v1/devices');
  t.match(device, { progress: { step: 'timing', done: 3, of: 5 }, qualifyJobId: jobId, runningJobId: jobId });
  await connection.send('result', result(jobId));
}
const qualified =
  (change: Partial<Qualification> = {}) =>
  (jobId: string): JobResult => ({
    ...{ jobId, outcome: 'qualified', qualification: { ...testQualification, ...change } },
  });

t.test('a device is asked, followed, and shown as what it turned out to be', async (t) => {
  const coordinator = await runCoordinator(t);
  const run = commandOf(coordinator);
  const device = await enrollTestDevice(coordinator, { name: 'kitchen' });
  t.match(await run('devices', 'qualify', 'kitchen'), {
    code: 1,
    err: /DEVICE_OFFLINE: the device is not connected/,
  });
  const connection = await device.connect();
  await connection.birth();
  t.match((await run('devices')).out, /^name .* steadiness .*\nkitchen .* not asked /);

  const asked = await run('devices', 'qualify', 'kitchen');
  t.match(asked, { code: 0, out: /^kitchen: asked, job job_\w+\n$/ });
  t.match((await run('devices')).out, /qualifying\n$/);
  await answer(connection, coordinator, qualified());
  t.match((await run('devices')).out, / steady 2\.0 % /);

  const shown = async () => (await run('devices', 'kitchen')).out;
  const follow = async (result: (jobId: string) => JobResult, ...options: string[]) => {
    const followed = run('devices', 'qualify', 'kitchen', '--wait', ...options);
    await answer(connection, coordinator, result);
    return followed;
  };
  t.match(await follow(qualified()), { code: 0, out: 'kitchen: steady 2.0 %\n' });
  t.match(
    await shown(),
    /steadiness +steady 2\.0 %\nasked +20\S+Z: 5 runs of standard-1 on 1 thread, at most 5 %/,
  );
  const failed = await follow(qualified(unsteady), '--json');
  t.match(failed, {
    code: 1,
    out: '',
    err: /did not qualify: its runs differ by 8\.25 %, at most 5 % is accepted/,
  });
  t.match(failed.err, /kitchen: qualifying(: timing, 3 of 5 done)?\n/, 'it was followed');
  t.match((await run('devices')).out, / unsteady 8\.3 % /);
  t.match(await shown(), /apart; onBattery, busy\nnot qualified +its runs differ/);
  t.match(await follow((jobId) => ({ jobId, outcome: 'failed', reason: 'no space left' })), {
    code: 1,
    err: /did not qualify: no space left/,
  });
  t.match(await shown(), /unsteady 8\.3 %\n.*\nnot qualified +no space left/, 'what was known stays');
});

t.test('with --qualify birth a new device is asked at once; an emulated one is marked', async (t) => {
  const coordinator = await runCoordinator(t, { config: { qualify: 'atBirth' } });
  const run = commandOf(coordinator);
  const facts = { emulated: true };
  const device = await enrollTestDevice(coordinator, { name: 'qemu', facts });
  const connection = await device.connect();
  const answered = answer(connection, coordinator, qualified());
  await connection.birth();
  await answered;
  t.match((await run('devices')).out, / steady 2\.0 %, emulated /);
  t.match(JSON.parse((await run('devices', 'qemu', '--json')).out), {
    facts,
    qualification: { accepted: true, fits: true },
  });
  const other = await device.connect();
  await other.birth({ facts: { ...testFacts, runtime: 'onnxruntime-node 1.31.0' } });
  t.match((await run('devices')).out, / steady 2\.0 % before /, 'by another runtime');
});
