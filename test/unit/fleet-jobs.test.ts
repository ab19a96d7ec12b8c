import { hardTimeoutMs, sendsAtMost } from '@fleetlora/coordinator/fleet';
import type { JobResult } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { temporaryFolder } from '../lib/running-coordinator.js';
import { jobBody, measurement, openTestFleet, type TestFleet } from '../lib/test-fleet.js';

const TRIAL = 'trl_00000000000000000000000001';
const give = ({ fleet }: TestFleet, deviceId: string, id: string, body: JobResult) =>
  fleet.receive(deviceId, 'result', { v: 1, id, session: 1, body });
const endOf = async ({ fleet }: TestFleet) =>
  (await fleet.forCampaign.jobsOfSearch('srch_0000000000')).map(({ end }) => end);
/** Job ends as the campaign hears them; each listener looks up its device first, hence the wait. */
const nextEnd = ({ fleet }: TestFleet) =>
  new Promise((resolve) => {
    const stop = fleet.forCampaign.onJobEnded((job) => {
      stop();
      resolve(job);
    });
  });

t.test('a job goes to an online idle device, its result is stored, acknowledged and told', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a', 'boot-1');
  t.same(await all.fleet.forCampaign.idleDevices('board'), []);
  await t.rejects(all.submit(a), coded('DEVICE_OFFLINE', a));
  await all.birth(a, 1);
  t.same(await all.fleet.forCampaign.idleDevices('board'), [
    { id: a, bootId: 'boot-1', qualification: null, takesBatches: true },
  ]);
  t.same(await all.fleet.forCampaign.idleDevices('phone'), [], 'another class');
  const jobId = await all.submit(a);
  t.same(all.take(), [{ deviceId: a, kind: 'job', body: { jobId, ...jobBody } }]);
  t.same(await all.fleet.forCampaign.idleDevices('board'), []);
  t.match(await all.fleet.showDevice('a'), { runningJobId: jobId, queuedJobs: 0, idleReason: null });
  await t.rejects(all.submit(a), coded('STATE_CONFLICT', a, jobId));
  t.same(await endOf(all), [null]);

  const told = nextEnd(all);
  await give(all, a, 'out-1', { jobId, outcome: 'measured', measurement });
  t.same(all.take(), [{ deviceId: a, kind: 'ack', body: { ids: ['out-1'] } }]);
  t.match(await told, {
    jobId,
    trialIds: [TRIAL],
    deviceId: a,
    bootId: 'boot-1',
    end: { outcome: 'measured' },
  });
  t.same(await endOf(all), [{ outcome: 'measured', measurements: [measurement] }]);
  t.match(await all.fleet.showDevice(a), {
    runningJobId: null,
    idleReason: 'no search has work for class "board"',
  });
});

t.test('ahead 3: a device takes three jobs of a search, another search has its own three', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const submit = (searchId: string, ahead: number) =>
    all.fleet.forCampaign.submit({
      kind: 'trial',
      searchId,
      trialIds: [TRIAL],
      deviceId: a,
      ahead,
      body: jobBody,
    });
  const idle = async (searchId: string) =>
    (await all.fleet.forCampaign.idleDevices('board', { searchId, ahead: 3 })).length;
  const first = await submit('srch_0000000001', 3);
  await submit('srch_0000000001', 3);
  t.equal(await idle('srch_0000000001'), 1, 'two of three');
  await submit('srch_0000000001', 3);
  t.equal(await idle('srch_0000000001'), 0);
  t.equal(await idle('srch_0000000002'), 1);
  await t.rejects(submit('srch_0000000001', 3), coded('STATE_CONFLICT', a, '3 unfinished', first));
  const other = await submit('srch_0000000002', 1);
  t.match(await all.fleet.showDevice(a), { runningJobId: first, queuedJobs: 3 });
  t.match(all.take(), [{ kind: 'job', body: { jobId: first } }], 'one is sent');
  await give(all, a, 'out-1', { jobId: first, outcome: 'measured', measurement });
  t.match(all.take(), [{ kind: 'ack' }, { kind: 'job', body: { jobId: other } }], 'the other search next');
});

t.test('a repeated result, and another result of a job that is over, change nothing', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const jobId = await all.submit(a);
  await give(all, a, 'out-1', { jobId, outcome: 'measured', measurement });
  all.take();
  all.fleet.forCampaign.onJobEnded(() => t.fail('told twice'));
  await give(all, a, 'out-1', { jobId, outcome: 'measured', measurement });
  await give(all, a, 'out-2', { jobId, outcome: 'failed', reason: 'second thoughts' });
  t.same(
    all.take().map(({ kind, body }) => [kind, body]),
    [
      ['ack', { ids: ['out-1'] }],
      ['ack', { ids: ['out-2'] }],
    ],
  );
  t.same(await endOf(all), [{ outcome: 'measured', measurements: [measurement] }]);
});

t.test('a device cannot end the job of another', async (t) => {
  const all = await openTestFleet(t);
  const [a, b] = [await all.enrol('a'), await all.enrol('b')];
  await all.birth(a, 1);
  await all.birth(b, 1);
  const jobId = await all.submit(a);
  await give(all, b, 'out-1', { jobId, outcome: 'measured', measurement });
  t.same(await endOf(all), [null]);
});

for (const [outcome, end] of [
  ['infeasible', 'infeasible'],
  ['failed', 'failed'],
  ['rejected', 'rejected'],
  ['canceled', 'canceled'],
] as const)
  t.test(`the outcome ${outcome} of a device ends the job as ${end}, with its reason`, async (t) => {
    const all = await openTestFleet(t);
    const a = await all.enrol('a');
    await all.birth(a, 1);
    const jobId = await all.submit(a);
    await give(all, a, 'out-1', { jobId, outcome, reason: 'killed by signal 9' });
    t.same(await endOf(all), [{ outcome: end, reason: 'killed by signal 9' }]);
  });

t.test('a new birth that does not hold the job has it sent again, one that holds it does not', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const jobId = await all.submit(a);
  all.take();
  await all.birth(a, 1);
  t.same(all.take(), [], 'the same session: nothing was lost');
  await all.birth(a, 2, { heldJobIds: [jobId] });
  t.same(all.take(), [], 'the device has it');
  await all.birth(a, 3);
  t.same(all.take(), [{ deviceId: a, kind: 'job', body: { jobId, ...jobBody } }]);
});

t.test(`a job that was lost ${sendsAtMost} times is not sent again`, async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  await all.submit(a);
  for (let session = 2; session <= sendsAtMost; session++) await all.birth(a, session);
  t.equal(all.take().length, sendsAtMost);
  await all.birth(a, sendsAtMost + 1);
  t.same(all.take(), []);
  t.match(await endOf(all), [{ outcome: 'failed', reason: /^handed to the device 3 times/ }]);
});

t.test('hard timeout of a job of 10 s: not before 70 s, and the device is told', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const jobId = await all.submit(a);
  all.take();
  t.equal(hardTimeoutMs(10_000), 70_000);
  await all.fleet.checkDeadlines();
  all.clock.advance(69_999);
  await all.fleet.checkDeadlines();
  t.same(await endOf(all), [null]);
  all.clock.advance(1);
  const told = nextEnd(all);
  await all.fleet.checkDeadlines();
  t.same(await endOf(all), [{ outcome: 'timedOut', reason: 'no answer from the device in 70 s' }]);
  t.match(await told, { jobId });
  t.same(all.take(), [{ deviceId: a, kind: 'cancel', body: { jobId } }]);
  await give(all, a, 'out-1', { jobId, outcome: 'measured', measurement });
  t.same(all.take(), [{ deviceId: a, kind: 'ack', body: { ids: ['out-1'] } }], 'too late, but acknowledged');
  t.match(await endOf(all), [{ outcome: 'timedOut' }]);
});

t.test('what a job waited for before the deadlines began anew does not count', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  await all.submit(a);
  await all.fleet.checkDeadlines();
  all.clock.advance(69_999);
  all.fleet.restartDeadlines();
  all.clock.advance(69_999);
  await all.fleet.checkDeadlines();
  t.same(await endOf(all), [null]);
  all.clock.advance(70_000);
  await all.fleet.checkDeadlines();
  t.match(await endOf(all), [{ outcome: 'timedOut' }]);
});

t.test('devices of one machine measure in turns; the second job goes out when the first ends', async (t) => {
  const all = await openTestFleet(t);
  const [a, b] = [await all.enrol('a', 'boot-1'), await all.enrol('b', 'boot-1')];
  await all.birth(a, 1);
  await all.birth(b, 1);
  const first = await all.submit(a);
  const second = await all.submit(b, 'trl_00000000000000000000000002');
  t.same(
    all.take().map(({ deviceId }) => deviceId),
    [a],
  );
  t.match(await all.fleet.showDevice(b), {
    queuedJobs: 1,
    idleReason: /^it waits its turn: a on the same machine/,
  });
  await give(all, a, 'out-1', { jobId: first, outcome: 'measured', measurement });
  t.match(all.take(), [{ kind: 'ack' }, { deviceId: b, kind: 'job', body: { jobId: second } }]);
});

t.test('a queued job whose device stays offline for 60 s is postponed, after 59.999 s not yet', async (t) => {
  const all = await openTestFleet(t);
  const [a, b] = [await all.enrol('a', 'boot-1'), await all.enrol('b', 'boot-1')];
  await all.birth(a, 1);
  await all.birth(b, 1);
  const first = await all.submit(a);
  await all.submit(b, 'trl_00000000000000000000000002');
  await all.fleet.receive(b, 'death', { v: 1, id: 'will', session: 1, body: {} });
  await give(all, a, 'out-1', { jobId: first, outcome: 'measured', measurement });
  await all.fleet.checkDeadlines();
  const endOfSecond = async () =>
    (await all.fleet.forCampaign.jobsOfSearch('srch_0000000000')).find(
      ({ trialIds }) => trialIds[0] === 'trl_00000000000000000000000002',
    )?.end;
  all.clock.advance(59_999);
  await all.fleet.checkDeadlines();
  t.equal(await endOfSecond(), null);
  all.clock.advance(1);
  await all.fleet.checkDeadlines();
  t.same(await endOfSecond(), { outcome: 'postponed', reason: 'its device stayed offline for 60 s' });
  await all.birth(b, 2);
  t.same(
    all.take().filter(({ deviceId }) => deviceId === b),
    [],
    'a job that is over is not sent',
  );
});

t.test('cancel ends a job once and tells its device', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const jobId = await all.submit(a);
  all.take();
  await all.fleet.forCampaign.cancel(jobId);
  await all.fleet.forCampaign.cancel(jobId);
  t.same(all.take(), [{ deviceId: a, kind: 'cancel', body: { jobId } }]);
  t.match(await endOf(all), [{ outcome: 'canceled' }]);
});

t.test('jobs survive a restart of the coordinator, and the next birth goes on with them', async (t) => {
  const folder = await temporaryFolder(t);
  const before = await openTestFleet(t, folder);
  const a = await before.enrol('a');
  await before.birth(a, 7);
  const jobId = await before.submit(a);
  await before.store.close();
  const after = await openTestFleet(t, folder);
  await after.fleet.start();
  t.same(await after.fleet.forCampaign.idleDevices('board'), []);
  t.match(await after.fleet.showDevice(a), { online: false, runningJobId: jobId });
  await after.birth(a, 8);
  t.same(after.take(), [{ deviceId: a, kind: 'job', body: { jobId, ...jobBody } }]);
});

t.test('a death counts for its own session alone', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  const death = (session: number) => all.fleet.receive(a, 'death', { v: 1, id: 'will', session, body: {} });
  await all.birth(a, 2);
  await death(1);
  t.equal((await all.fleet.showDevice(a)).online, true, 'late will of the session before');
  await death(2);
  t.equal((await all.fleet.showDevice(a)).online, false);
});

t.test('a report is acknowledged when its handler has stored it, and not when that failed', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const body = { rolloutId: 'roll_0000000000', releaseId: 'rel_0000000000', state: 'succeeded' } as const;
  const report = () => all.fleet.receive(a, 'report', { v: 1, id: 'out-1', session: 1, body });
  const stop = all.fleet.forRollout.onReport(async () => {
    t.same(all.take(), [], 'not yet acknowledged');
    throw new Error('disk full');
  });
  await t.rejects(report(), { message: 'disk full' });
  t.same(all.take(), []);
  stop();
  await report();
  t.same(all.take(), [{ deviceId: a, kind: 'ack', body: { ids: ['out-1'] } }]);
  t.equal((await all.fleet.showDevice(a)).installedReleaseId, 'rel_0000000000');
});

t.test('a desired release goes to an online device only', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  const desired = {
    rolloutId: 'roll_0000000000',
    releaseId: 'rel_0000000000',
    manifestDigest: 'c'.repeat(64),
  };
  await t.rejects(all.fleet.forRollout.sendDesired(a, desired), coded('DEVICE_OFFLINE', a));
  const born: string[] = [];
  all.fleet.forRollout.onBirth((id) => born.push(id));
  await all.birth(a, 1);
  t.same(born, [a]);
  await all.fleet.forRollout.sendDesired(a, desired);
  t.same(all.take(), [{ deviceId: a, kind: 'desired', body: desired }]);
  t.same(await all.fleet.forRollout.listTargets('board'), [{ id: a, name: 'a', online: true }]);
  t.same(await all.fleet.forRollout.listTargets('phone'), []);
  await t.rejects(all.fleet.forRollout.findTarget('nobody'), coded('NOT_FOUND', 'nobody'));
});
