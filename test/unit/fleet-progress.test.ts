import { hardTimeoutMs } from '@fleetlora/coordinator/fleet';
import { type Progress, progressLostMs } from '@fleetlora/shared/protocol';
import t from 'tap';
import { temporaryFolder } from '../lib/running-coordinator.js';
import { measurement, openTestFleet, type TestFleet } from '../lib/test-fleet.js';

const say = ({ fleet }: TestFleet, deviceId: string, body: Progress, session = 1) =>
  fleet.receive(deviceId, 'progress', { v: 1, id: 'beat', session, body });
const endOf = async ({ fleet }: TestFleet) =>
  (await fleet.forCampaign.jobsOfSearch('srch_0000000000')).map(({ end }) => end);
const die = ({ fleet }: TestFleet, deviceId: string, session: number) =>
  fleet.receive(deviceId, 'death', { v: 1, id: 'will', session, body: {} });

/** Lets time pass as it does in life: deadlines are looked at once a second. */
async function pass({ clock, fleet }: TestFleet, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1000) {
    clock.advance(Math.min(1000, left));
    await fleet.checkDeadlines();
  }
}

/** A fleet with one device that has been sent a job of `timeoutMs` 10 s. */
async function open(t: import('tap').Test) {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const jobId = await all.submit(a);
  all.take();
  await all.fleet.checkDeadlines();
  return { all, a, jobId };
}

t.test('what a device says of its job is shown until the job is over', async (t) => {
  const { all, a, jobId } = await open(t);
  const shown = async () => (await all.fleet.showDevice(a)).progress;
  t.equal(await shown(), null, 'it said nothing yet');
  await say(all, a, { jobId, step: 'cooling' });
  t.same(await shown(), { jobId, step: 'cooling' });
  await say(all, a, { jobId, step: 'timing', done: 2, of: 5 });
  t.same(await shown(), { jobId, step: 'timing', done: 2, of: 5 });
  const result = { jobId, outcome: 'measured', measurement } as const;
  await all.fleet.receive(a, 'result', { v: 1, id: 'out', session: 1, body: result });
  t.equal(await shown(), null);
});

t.test('progress of a lost session counts for nothing', async (t) => {
  const { all, a, jobId } = await open(t);
  await all.birth(a, 2, { heldJobIds: [jobId] });
  await say(all, a, { jobId, step: 'timing' }, 1);
  t.equal((await all.fleet.showDevice(a)).progress, null);
  t.same(all.take(), []);
});

t.test('a device that works for a job which is over, unknown or of another is told to stop', async (t) => {
  const { all, a, jobId } = await open(t);
  const b = await all.enrol('b');
  await all.birth(b, 1);
  await all.fleet.forCampaign.cancel(jobId);
  all.take();
  const unknown = 'job_0000000000000000000000zzzz';
  for (const [deviceId, id] of [
    [a, jobId],
    [a, unknown],
    [b, jobId],
  ] as const) {
    await say(all, deviceId, { jobId: id, step: 'timing' });
    t.same(all.take(), [{ deviceId, kind: 'cancel', body: { jobId: id } }]);
  }
});

t.test('a job is lost when its device, connected, says nothing of it for 60 s', async (t) => {
  const { all, a, jobId } = await open(t);
  t.equal(progressLostMs, 60_000);
  await say(all, a, { jobId, step: 'cooling' });
  await pass(all, 59_999);
  t.same(await endOf(all), [null]);
  await say(all, a, { jobId, step: 'timing', done: 2, of: 5 });
  await pass(all, 59_999);
  t.same(await endOf(all), [null], 'each word begins anew');
  await pass(all, 1);
  const [end] = await endOf(all);
  t.match(end, { outcome: 'timedOut', reason: /connected and said nothing.*60 s after "timing 2 of 5"/ });
  t.same(all.take(), [{ deviceId: a, kind: 'cancel', body: { jobId } }]);
  t.match(await all.fleet.forCampaign.idleDevices('board'), [{ id: a }], 'it takes the next');
});

t.test('an absent device has lost nothing; from its return on silence counts', async (t) => {
  const { all, a, jobId } = await open(t);
  await say(all, a, { jobId, step: 'waiting' });
  await pass(all, 30_000);
  await die(all, a, 1);
  await pass(all, 600_000);
  t.same(await endOf(all), [null]);
  await all.birth(a, 2, { heldJobIds: [jobId] });
  await pass(all, 59_999);
  t.same(await endOf(all), [null]);
  await pass(all, 1);
  t.match(await endOf(all), [{ outcome: 'timedOut', reason: /after "waiting"/ }]);
});

t.test('a job that is sent again is not lost by an agent that does not speak of it', async (t) => {
  const { all, a, jobId } = await open(t);
  await say(all, a, { jobId, step: 'timing', done: 4, of: 5 });
  await all.birth(a, 2);
  t.match(all.take(), [{ kind: 'job', body: { jobId } }]);
  t.equal((await all.fleet.showDevice(a)).progress, null);
  await pass(all, 60_000);
  t.same(await endOf(all), [null]);
});

t.test('an agent that never speaks of its job has until the hard timeout', async (t) => {
  const { all } = await open(t);
  await pass(all, 69_999);
  t.same(await endOf(all), [null]);
  await pass(all, 1);
  t.match(await endOf(all), [{ outcome: 'timedOut', reason: 'no answer from the device in 70 s' }]);
});

for (const [stallMs, lost] of [
  [10_000, false],
  [9999, true],
] as const)
  t.test(
    `deadlines not looked at for ${stallMs} ms: the silence before ${lost ? 'counts' : 'is forgiven'}`,
    async (t) => {
      const { all, a, jobId } = await open(t);
      await say(all, a, { jobId, step: 'cooling' });
      await pass(all, 55_000);
      // The process stood still: what the device said meanwhile is in a socket that was not read yet.
      all.clock.advance(stallMs);
      await all.fleet.checkDeadlines();
      t.equal((await endOf(all))[0] === null, !lost);
    },
  );

t.test('while no answer could be stored, silence does not count', async (t) => {
  const { all, a, jobId } = await open(t);
  await say(all, a, { jobId, step: 'cooling' });
  await pass(all, 59_000);
  all.fleet.restartDeadlines();
  await pass(all, 59_000);
  t.same(await endOf(all), [null]);
});

t.test('waiting, cooling and quieting do not count against the hard timeout; other steps do', async (t) => {
  const { all, a, jobId } = await open(t);
  const beat = async (step: Progress['step'], ms: number) => {
    for (let left = ms; left > 0; left -= 15_000) {
      await say(all, a, { jobId, step });
      await pass(all, Math.min(15_000, left));
    }
  };
  for (const step of ['waiting', 'cooling', 'quieting'] as const) await beat(step, 300_000);
  await beat('fetching', 30_000);
  await beat('timing', 39_000);
  t.same(await endOf(all), [null]);
  await beat('timing', 1000);
  t.match(await endOf(all), [{ outcome: 'timedOut', reason: 'no answer from the device in 70 s' }]);
});

t.test('a device may wait for an hour in one job, not for ever', async (t) => {
  const { all, a, jobId } = await open(t);
  const wait = async (ms: number) => {
    for (let left = ms; left > 0; left -= 30_000) {
      await say(all, a, { jobId, step: 'cooling' });
      await pass(all, Math.min(30_000, left));
    }
  };
  await wait(3_600_000 + hardTimeoutMs(10_000) - 1000);
  t.same(await endOf(all), [null]);
  await wait(1000);
  t.match(await endOf(all), [{ outcome: 'timedOut' }]);
});

t.test('after a restart of the coordinator a job is lost only by a device that spoke since', async (t) => {
  const folder = await temporaryFolder(t);
  const before = await openTestFleet(t, folder);
  const a = await before.enrol('a');
  await before.birth(a, 1);
  const jobId = await before.submit(a);
  await say(before, a, { jobId, step: 'timing' });
  await before.store.close();
  const after = await openTestFleet(t, folder);
  await after.fleet.start();
  await after.birth(a, 2, { heldJobIds: [jobId] });
  await pass(after, 60_000);
  t.same(await endOf(after), [null]);
});
