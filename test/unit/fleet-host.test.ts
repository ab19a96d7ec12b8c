import t, { type Test } from 'tap';
import { measurement, openTestFleet, type TestFleet } from '../lib/test-fleet.js';

/** Ids of the jobs that devices were sent since the last call. */
const sent = (all: TestFleet): string[] =>
  all.take().flatMap(({ kind, body }) => (kind === 'job' && 'jobId' in body ? [body.jobId] : []));
let messages = 0;
/** The device answers a job. */
const answer = (all: TestFleet, deviceId: string, jobId: string): Promise<void> =>
  all.fleet.receive(deviceId, 'result', {
    v: 1,
    id: `msg_${String(++messages).padStart(10, '0')}`,
    session: 1,
    body: { jobId, outcome: 'measured', measurement },
  });
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await nextTurn();
}

/** A device on the coordinator's machine and one elsewhere, both online. */
async function open(t: Test): Promise<{ all: TestFleet; here: string; far: string }> {
  const all = await openTestFleet(t);
  const [here, far] = [await all.enrol('here', 'host'), await all.enrol('far', 'elsewhere')];
  await all.birth(here, 1);
  await all.birth(far, 1);
  all.take();
  return { all, here, far };
}
const turnOn = ({ host }: TestFleet, told: string[] = []) =>
  host.takeTurn('train', {
    onBegin: () => void told.push('begins'),
    onAsked: () => void told.push('asked'),
  });

t.test('a job of this machine is sent when the coordinator has left it, any other at once', async (t) => {
  const { all, here, far } = await open(t);
  const told: string[] = [];
  const turn = turnOn(all, told);
  const waiting = await all.submit(here);
  const elsewhere = await all.submit(far);
  t.same(sent(all), [elsewhere]);
  t.same(told, ['begins', 'asked']);
  t.equal(
    (await all.fleet.showDevice(here)).idleReason,
    'it waits its turn: the coordinator, on the same machine, trains',
  );
  turn.end();
  await until(async () => (await all.store.fleet.jobs.find(waiting))?.state === 'SENT');
  await until(() => all.host.measuring.state === 'running');
  t.same(sent(all), [waiting]);
  t.equal((await all.fleet.showDevice(here)).idleReason, null);
});

t.test('the coordinator waits for the end of that job, however it ends', async (t) => {
  const { all, here } = await open(t);
  for (const end of ['result', 'cancel', 'timeout'] as const) {
    const jobId = await all.submit(here);
    const told: string[] = [];
    const turn = turnOn(all, told);
    t.same(sent(all), [jobId]);
    t.same(told, [], end);
    if (end === 'result') await answer(all, here, jobId);
    else if (end === 'cancel') await all.fleet.forCampaign.cancel(jobId);
    else {
      await all.fleet.checkDeadlines();
      all.clock.advance(100_000);
      await all.fleet.checkDeadlines();
    }
    t.same(told, ['begins'], end);
    all.take();
    turn.end();
  }
});

t.test('of two queued jobs of this machine the second comes after the turn that waits', async (t) => {
  const { all, here } = await open(t);
  const neighbour = await all.enrol('neighbour', 'host');
  await all.birth(neighbour, 1);
  const first = await all.submit(here);
  const second = await all.submit(neighbour);
  const told: string[] = [];
  const turn = turnOn(all, told);
  t.same(sent(all), [first]);
  await answer(all, here, first);
  t.same(told, ['begins', 'asked'], 'asked at once, since a job waits');
  t.same(sent(all), []);
  turn.end();
  await until(() => all.host.measuring.state === 'running');
  await until(async () => (await all.fleet.showDevice(neighbour)).runningJobId === second);
});

t.test(
  'a waiting job whose device leaves keeps nobody waiting beyond the next look at the deadlines',
  async (t) => {
    const { all, here } = await open(t);
    const turn = turnOn(all);
    await all.submit(here);
    t.equal(all.host.measuring.state, 'waiting');
    await all.fleet.receive(here, 'death', { v: 1, id: 'msg_0000000000', session: 1, body: {} });
    const told: string[] = [];
    turnOn(all, told);
    await all.fleet.checkDeadlines();
    t.same(told, ['begins']);
    t.equal(all.host.measuring.state, 'idle');
    turn.end();
  },
);

t.test(
  'a job that was with its device when the coordinator died has the machine from the start',
  async (t) => {
    const folder = t.testdir();
    const before = await openTestFleet(t, folder);
    const here = await before.enrol('here', 'host');
    await before.birth(here, 1);
    const jobId = await before.submit(here);
    await before.store.close();
    const after = await openTestFleet(t, folder);
    await after.fleet.start();
    t.equal(after.host.measuring.state, 'running');
    const told: string[] = [];
    turnOn(after, told);
    await after.birth(here, 2, { heldJobIds: [jobId] });
    t.same(told, []);
    await answer(after, here, jobId);
    t.same(told, ['begins']);
  },
);

t.test('a device that does not know its boot id is no device of this machine', async (t) => {
  const { all } = await open(t);
  const unknown = await all.enrol('unknown');
  await all.birth(unknown, 1);
  turnOn(all);
  const jobId = await all.submit(unknown);
  t.same(sent(all), [jobId]);
  t.equal(all.host.measuring.state, 'idle');
});
