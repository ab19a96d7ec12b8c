import { atPresent, policiesOf } from '@fleetlora/coordinator/fleet';
import type { Conditions, JobResult, PolicySet, ScopedPolicy } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { jobBody, measurement, openTestFleet, type TestFleet } from '../lib/test-fleet.js';

const allowed: Conditions = {
  mayMeasure: true,
  reasons: [],
  onMains: null,
  temperatureC: null,
  metered: null,
  localTime: '14:10',
};
const outside = 'policy of class board: outside 22:00-06:00';
const forbidden: Conditions = { ...allowed, mayMeasure: false, reasons: [outside] };
const nightly: PolicySet = { scope: { kind: 'class', name: 'board' }, policy: { hours: ['22:00-06:00'] } };
const trial = (number: number): string => `trl_${String(number).padStart(26, '0')}`;

const say = ({ fleet }: TestFleet, deviceId: string, body: Conditions, session = 1) =>
  fleet.receive(deviceId, 'conditions', { v: 1, id: 'conditions', session, body });
const give = ({ fleet }: TestFleet, deviceId: string, body: JobResult) =>
  fleet.receive(deviceId, 'result', { v: 1, id: 'out', session: 1, body });
const endsOf = async ({ fleet }: TestFleet, ...trials: number[]) => {
  const all = await fleet.forCampaign.jobsOfSearch('srch_0000000000');
  return trials.map((number) => all.find(({ trialIds }) => trialIds[0] === trial(number))?.end);
};
const idle = async ({ fleet }: TestFleet) =>
  (await fleet.forCampaign.idleDevices('board')).map(({ id }) => id);
const reasonOf = async ({ fleet }: TestFleet, device: string) => (await fleet.showDevice(device)).idleReason;
/** Puts a job behind the one that its neighbour on the machine was sent, so that it stays QUEUED. */
const queueBehind = async (all: TestFleet) => {
  const [a, b] = [await all.enrol('a', 'boot-1'), await all.enrol('b', 'boot-1')];
  for (const device of [a, b]) await all.birth(device, 1, { conditions: allowed });
  const sent = await all.submit(a, trial(1));
  const queued = await all.submit(b, trial(2));
  all.take();
  return { a, b, sent, queued };
};

t.test('the policies of a device are those of its class and of its labels', async (t) => {
  const policies = (['class board', 'class phone', 'label lab', 'label office', 'label board'] as const).map(
    (text): ScopedPolicy => {
      const [kind, name] = text.split(' ') as ['class' | 'label', string];
      return { scope: { kind, name }, policy: { mainsPower: true }, updatedAtMs: 5 };
    },
  );
  const names = (deviceClass: string, ...labels: string[]) =>
    policiesOf({ deviceClass, labels }, policies).map(({ scope }) => `${scope.kind} ${scope.name}`);
  t.same(names('board'), ['class board']);
  t.same(names('phone', 'office', 'lab'), ['class phone', 'label lab', 'label office']);
  t.same(names('server'), []);
  t.same(policiesOf({ deviceClass: 'board', labels: [] }, policies), [
    { scope: { kind: 'class', name: 'board' }, policy: { mainsPower: true } },
  ]);
});

t.test('policies are set, replaced, listed and removed', async (t) => {
  const { fleet, clock } = await openTestFleet(t);
  const office: PolicySet = { scope: { kind: 'label', name: 'office' }, policy: { mainsPower: true } };
  await fleet.policies.set(office);
  t.same(await fleet.policies.set(nightly), { ...nightly, updatedAtMs: clock.nowMs() });
  clock.advance(1000);
  const changed = { ...nightly, policy: { maxTemperatureC: 70 } };
  t.same(await fleet.policies.set(changed), { ...changed, updatedAtMs: clock.nowMs() });
  t.match(await fleet.policies.list(), [changed, office]);
  t.match(await fleet.policies.remove(nightly.scope), changed, 'what was in force');
  t.match(await fleet.policies.list(), [office]);
  await t.rejects(
    fleet.policies.remove(nightly.scope),
    coded('NOT_FOUND', 'there is no policy for class "board"'),
  );
});

t.test('a device is told its policies at its birth, before its jobs, and at every change', async (t) => {
  const all = await openTestFleet(t);
  const [a, b] = [await all.enrol('a'), await all.enrol('b')];
  const told = () => all.take().filter(({ kind }) => kind === 'policy');
  const order = (...policies: PolicySet[]) => ({ deviceId: a, kind: 'policy', body: { policies } });
  await all.fleet.policies.set(nightly);
  t.same(told(), [], 'nobody is there');
  await all.birth(a, 1, { conditions: allowed });
  t.same(told(), [order(nightly)]);

  const lab: PolicySet = { scope: { kind: 'label', name: 'lab' }, policy: { mainsPower: true } };
  await all.fleet.policies.set(lab);
  t.same(told(), [], 'no device has the label');
  t.same((await all.fleet.setLabels('a', ['lab', 'attic', 'lab'])).labels, ['attic', 'lab']);
  t.same(told(), [order(nightly, lab)]);
  await all.fleet.policies.remove(nightly.scope);
  t.same(told(), [order(lab)], 'b is not connected');
  await all.fleet.setLabels(a, []);
  t.same(told(), [order()]);

  const jobId = await all.submit(a);
  all.take();
  await all.birth(a, 2, { conditions: allowed });
  t.match(all.take(), [order(), { kind: 'job', body: { jobId } }]);
  await all.birth(b, 1);
  t.same(told(), [], 'an agent that knows no policies');
  await all.fleet.policies.set(nightly);
  t.match(told(), [{ deviceId: a }, { deviceId: b }]);
  await t.rejects(all.fleet.setLabels('nobody', []), coded('NOT_FOUND', 'nobody'));
});

for (const [agentVersion, ceiling, digits, most] of [
  // Each policy is 175 bytes of JSON with the digits of its label and a comma, and the message around
  // them 89 without the last comma: 22 make 4,005 and 23 make 4,183, 182 make 32,667 and 183 make 32,846.
  ['0.2.0', 4096, 2, 22],
  ['0.3.0', 32_768, 3, 182],
] as const)
  t.test(`policies that an agent ${agentVersion} cannot read in ${ceiling} bytes are refused`, async (t) => {
    const all = await openTestFleet(t);
    const a = await all.enrol('a', '', { agentVersion });
    const hours = Array.from({ length: 8 }, () => '22:00-06:00');
    const labels = Array.from({ length: most + 1 }, (_, n) => `label-${String(n).padStart(digits, '0')}`);
    for (const name of labels)
      await all.fleet.policies.set({ scope: { kind: 'label', name }, policy: { hours } });
    await t.rejects(
      all.fleet.setLabels(a, labels),
      coded('BAD_REQUEST', 'device "a"', `${most + 1} policies`),
    );
    t.same((await all.fleet.showDevice(a)).labels, []);
    await all.fleet.setLabels(a, labels.slice(0, most));
    await t.rejects(
      all.fleet.policies.set({ ...nightly, policy: { hours } }),
      coded('BAD_REQUEST', String(ceiling)),
    );
    t.equal((await all.fleet.policies.list()).length, most + 1, 'not stored');
  });

t.test('a device that may not measure is not idle, gets no job, and says why', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1, { conditions: forbidden });
  t.same(await idle(all), []);
  await t.rejects(all.submit(a), coded('STATE_CONFLICT', 'may not measure', outside));
  t.equal(await reasonOf(all, a), `${outside}, now 14:10 there`);
  all.clock.advance(61_000);
  t.equal(await reasonOf(all, a), `${outside}, now 14:11 there`, 'the time goes on without a message');
  t.match(await all.fleet.showDevice(a), { conditions: { localTime: '14:11', reasons: [outside] } });

  let woken = 0;
  all.fleet.forCampaign.onDevicesChanged(() => woken++);
  await say(all, a, { ...allowed, localTime: '22:00' });
  t.equal(woken, 1);
  t.same(await idle(all), [a]);
  t.equal(await reasonOf(all, a), 'no search has work for class "board"');
  await all.submit(a);
  t.match(
    all.take().filter(({ kind }) => kind === 'job'),
    [{ deviceId: a, body: jobBody }],
  );
});

t.test('a device that never said its conditions may measure', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1);
  t.same(await idle(all), [a]);
  t.equal((await all.fleet.showDevice(a)).conditions, null);
});

t.test('jobs that wait for a device end as postponed when it may not measure', async (t) => {
  const all = await openTestFleet(t);
  const { a, b, sent } = await queueBehind(all);
  let ended: unknown = null;
  const heard = new Promise<void>((resolve) =>
    all.fleet.forCampaign.onJobEnded((job) => {
      ended = job;
      resolve();
    }),
  );
  await say(all, b, forbidden);
  t.same(await endsOf(all, 1, 2), [null, { outcome: 'postponed', reason: `${outside}, now 14:10 there` }]);
  await heard;
  t.match(ended, { trialIds: [trial(2)], end: { outcome: 'postponed' } });
  await say(all, a, forbidden);
  t.same(await endsOf(all, 1), [null], 'a job that is with its device is the device’s to answer');
  await give(all, a, { jobId: sent, outcome: 'measured', measurement });
  t.match(await endsOf(all, 1), [{ outcome: 'measured' }]);
  t.same(
    all.take().filter(({ kind }) => kind === 'job'),
    [],
  );
});

t.test('a job that its device postponed is over, and those behind it are as well', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1, { conditions: allowed });
  const submit = (number: number) =>
    all.fleet.forCampaign.submit({
      searchId: 'srch_0000000000',
      kind: 'trial',
      trialIds: [trial(number)],
      deviceId: a,
      ahead: 3,
      body: jobBody,
    });
  const jobId = await submit(1);
  await submit(2);
  await say(all, a, forbidden);
  await give(all, a, { jobId, outcome: 'postponed', reason: outside });
  t.match(await endsOf(all, 1, 2), [
    { outcome: 'postponed', reason: outside },
    { outcome: 'postponed', reason: `${outside}, now 14:10 there` },
  ]);
  t.same(await idle(all), []);
  await say(all, a, allowed);
  t.same(await idle(all), [a], 'at once: it said that it may');
});

t.test('a device that postpones although it said it may is asked again after 30 s', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1, { conditions: allowed });
  const jobId = await all.submit(a);
  await give(all, a, { jobId, outcome: 'postponed', reason: 'not now' });
  t.same(await idle(all), []);
  await t.rejects(all.submit(a), coded('STATE_CONFLICT', 'not now'));
  t.equal(await reasonOf(all, a), 'it put off its last job (not now); it is asked again in 30 s');
  let woken = 0;
  all.fleet.forCampaign.onDevicesChanged(() => woken++);
  all.clock.advance(29_999);
  await all.fleet.checkDeadlines();
  t.same([await idle(all), woken], [[], 0]);
  all.clock.advance(1);
  await all.fleet.checkDeadlines();
  t.same([await idle(all), woken], [[a], 1]);
  await all.fleet.checkDeadlines();
  t.equal(woken, 1);
});

t.test('a birth that may not measure postpones what was sent and lost, and what waits', async (t) => {
  const all = await openTestFleet(t);
  const { a, b } = await queueBehind(all);
  await all.birth(b, 2, { conditions: forbidden });
  t.match(await endsOf(all, 1, 2), [null, { outcome: 'postponed' }]);
  await all.birth(a, 2, { conditions: forbidden });
  t.match(await endsOf(all, 1), [{ outcome: 'postponed' }]);
  t.same(
    all.take().filter(({ kind }) => kind === 'job'),
    [],
  );
});

t.test('a birth that holds its job keeps it, forbidden or not', async (t) => {
  const all = await openTestFleet(t);
  const { a, sent } = await queueBehind(all);
  await all.birth(a, 2, { conditions: forbidden, heldJobIds: [sent] });
  t.same(await endsOf(all, 1), [null]);
});

t.test('conditions of a session that is over change nothing', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await say(all, a, forbidden);
  t.equal((await all.fleet.showDevice(a)).conditions, null, 'no birth yet');
  await all.birth(a, 2, { conditions: allowed });
  await say(all, a, forbidden, 1);
  t.same(await idle(all), [a]);
});

t.test('what an absent device said is shown as old', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await all.birth(a, 1, { conditions: forbidden });
  await all.fleet.receive(a, 'death', { v: 1, id: 'will', session: 1, body: {} });
  all.clock.advance(3_600_000);
  t.equal(
    await reasonOf(all, a),
    `offline, last seen 2023-11-14T22:13:20.000Z, when it might not measure (${outside})`,
  );
  t.equal((await all.fleet.showDevice(a)).conditions?.localTime, '14:10', 'its clock is not guessed');
});

for (const [localTime, minutes, wanted] of [
  ['14:10', 0, '14:10'],
  ['14:10', 0.99, '14:10'],
  ['14:10', 1, '14:11'],
  ['23:59', 1, '00:00'],
  ['00:00', 1440 * 3 + 61, '01:01'],
] as const)
  t.test(`${localTime} said ${minutes} minutes ago is ${wanted} now`, async (t) => {
    t.same(atPresent({ ...allowed, localTime }, minutes * 60_000), { ...allowed, localTime: wanted });
  });
