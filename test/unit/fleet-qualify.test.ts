import { isCurrent, qualifyingNeed, type StoredQualification } from '@fleetlora/coordinator/fleet';
import type { Conditions, JobResult, Qualification } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { temporaryFolder } from '../lib/running-coordinator.js';
import { testFacts } from '../lib/test-device.js';
import { measurement, openTestFleet, type TestFleet, testQualification } from '../lib/test-fleet.js';

const MINUTE = 60_000;
const allowed: Conditions = {
  mayMeasure: true,
  reasons: [],
  onMains: null,
  temperatureC: null,
  metered: null,
  localTime: '14:10',
};
const forbidden: Conditions = { ...allowed, mayMeasure: false, reasons: ['on battery'] };
const unsteady: Partial<Qualification> = {
  accepted: false,
  spreadPercent: 10,
  runs: [95, 99, 100, 101, 105].map((decodeMs) => ({ prefillMs: 40, decodeMs })),
};

const give = ({ fleet }: TestFleet, deviceId: string, body: JobResult) =>
  fleet.receive(deviceId, 'result', { v: 1, id: 'out', session: 1, body });
const qualify = (all: TestFleet, deviceId: string, jobId: string, change: Partial<Qualification> = {}) =>
  give(all, deviceId, { jobId, outcome: 'qualified', qualification: { ...testQualification, ...change } });
/** Ids of the qualifications that were sent since the last look. */
const asked = (all: TestFleet): string[] =>
  all.take().flatMap(({ body }) => ('kind' in body && body.kind === 'qualify' ? [body.jobId] : []));
const only = (ids: readonly string[]): string => ids[0] ?? '';
/** After so long it is looked at the deadlines; the moment before as well, when nothing may have happened. */
async function askedAfter(all: TestFleet, ms: number): Promise<{ before: string[]; after: string[] }> {
  all.clock.advance(ms - 1);
  await all.fleet.checkDeadlines();
  const before = asked(all);
  all.clock.advance(1);
  await all.fleet.checkDeadlines();
  return { before, after: asked(all) };
}

const found: StoredQualification = { ...testQualification, atMs: 1 };
for (const [title, change, atBirth, onRequest] of [
  ['was never asked', {}, 'answered', null],
  ['is steady', { qualification: found }, null, null],
  ['is not steady', { qualification: { ...found, ...unsteady } }, null, null],
  ['has another runtime since', { qualification: { ...found, runtime: 'other' } }, 'answered', null],
  [
    'is in quarantine',
    { qualification: found, quarantine: { reason: 'x', sinceMs: 1 } },
    'accepted',
    'accepted',
  ],
  ['has an agent of before 0.3', { facts: { ...testFacts, agentVersion: '0.2.0' } }, null, null],
] as const)
  t.test(
    `a device that ${title} is asked until ${atBirth}, on request alone until ${onRequest}`,
    async (t) => {
      const device = { facts: testFacts, qualification: null, quarantine: null, ...change };
      t.equal(qualifyingNeed(device, 'atBirth'), atBirth);
      t.equal(qualifyingNeed(device, 'onRequest'), onRequest);
    },
  );

for (const [agentVersion, current] of [
  ['0.3.0', true],
  ['0.3.1-rc.1', true],
  ['0.10.0', true],
  ['1.0.0', true],
  ['0.2.9', false],
  ['0.1.0', false],
  ['', false],
  ['dev', false],
  ['.3.0', false],
] as const)
  t.test(`an agent "${agentVersion}" ${current ? 'takes' : 'does not take'} batches`, async (t) => {
    t.equal(isCurrent({ agentVersion }), current);
  });

t.test('a new device is asked at its birth, before any candidate; what it found is stored', async (t) => {
  const all = await openTestFleet(t, undefined, 'atBirth');
  const a = await all.enrol('a');
  await all.birth(a, 1);
  const [sent] = all.take();
  t.match(sent, { deviceId: a, kind: 'job', body: { kind: 'qualify', runs: 5, pauseMs: 5000 } });
  const { qualifyJobId: jobId } = await all.fleet.showDevice(a);
  t.match(await all.fleet.showDevice(a), { runningJobId: jobId, qualification: null, idleReason: null });
  const trial = await all.submit(a);
  t.same(all.take(), [], 'the candidate waits');
  await qualify(all, a, jobId ?? '');
  t.match(all.take(), [{ kind: 'ack' }, { kind: 'job', body: { jobId: trial } }]);
  t.match(await all.fleet.showDevice(a), {
    qualification: { ...testQualification, atMs: all.clock.nowMs(), fits: true },
    qualifyJobId: null,
    qualifyFailure: null,
  });
  await give(all, a, { jobId: trial, outcome: 'measured', measurement });
  t.match(await all.fleet.forCampaign.idleDevices('board'), [{ id: a, qualification: { accepted: true } }]);
  await all.birth(a, 2);
  t.same(asked(all), [], 'it is known');
  const facts = { ...testFacts, agentVersion: '0.4.0' };
  await all.birth(a, 3, { facts });
  t.equal(asked(all).length, 1, 'of another agent it is not');
  t.match(await all.fleet.showDevice(a), { qualification: { fits: false } });
  t.match(await all.fleet.forCampaign.idleDevices('board', { searchId: 'srch_0000000000', ahead: 1 }), [
    { id: a, qualification: null },
  ]);
});

t.test('a birth that repeats its session asks nothing again', async (t) => {
  const all = await openTestFleet(t, undefined, 'atBirth');
  const a = await all.enrol('a');
  await all.birth(a, 1);
  await give(all, a, { jobId: only(asked(all)), outcome: 'failed', reason: 'no space' });
  all.clock.advance(MINUTE);
  await all.birth(a, 1);
  t.same(asked(all), []);
});

t.test('on request alone: no birth asks, a person does, once until it is answered', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a');
  await t.rejects(all.fleet.qualify('a'), coded('DEVICE_OFFLINE', 'a'));
  await t.rejects(all.fleet.qualify('nobody'), coded('NOT_FOUND', 'nobody'));
  await all.birth(a, 1);
  t.same(asked(all), []);
  const { qualifyJobId } = await all.fleet.qualify('a');
  t.equal((await all.fleet.qualify(a)).qualifyJobId, qualifyJobId);
  t.same(asked(all), [qualifyJobId]);
  await qualify(all, a, qualifyJobId ?? '', unsteady);
  t.match(await all.fleet.showDevice(a), {
    qualification: { accepted: false, spreadPercent: 10 },
    qualifyJobId: null,
    qualifyFailure: 'its runs differ by 10 %, at most 5 % is accepted',
    quarantine: null,
  });
  all.clock.advance(600 * MINUTE);
  await all.fleet.checkDeadlines();
  t.same(asked(all), [], 'it answered');
  const again = await all.fleet.qualify(a);
  await qualify(all, a, again.qualifyJobId ?? '');
  t.match(await all.fleet.showDevice(a), { qualification: { accepted: true }, qualifyFailure: null });
});

t.test('a request is refused where the device may not measure, or is too old', async (t) => {
  const all = await openTestFleet(t);
  const [a, old] = [await all.enrol('a'), await all.enrol('old', '', { agentVersion: '0.2.0' })];
  await all.birth(a, 1, { conditions: forbidden });
  await all.birth(old, 1);
  await t.rejects(all.fleet.qualify(a), coded('STATE_CONFLICT', '"a"', 'on battery'));
  await t.rejects(all.fleet.qualify(old), coded('STATE_CONFLICT', 'agent 0.2.0', 'wanted 0.3'));
  t.same(asked(all), []);
});

t.test('a device that may not measure at its birth is asked once it may', async (t) => {
  const all = await openTestFleet(t, undefined, 'atBirth');
  const a = await all.enrol('a');
  await all.birth(a, 1, { conditions: forbidden });
  t.same(asked(all), []);
  const say = (body: Conditions) =>
    all.fleet.receive(a, 'conditions', { v: 1, id: 'conditions', session: 1, body });
  await say(allowed);
  const jobId = only(asked(all));
  await give(all, a, { jobId, outcome: 'postponed', reason: 'on battery' });
  await say(forbidden);
  t.match(await all.fleet.showDevice(a), { qualifyFailure: 'on battery' });
  await all.fleet.checkDeadlines();
  t.same(asked(all), []);
  await say(allowed);
  all.clock.advance(30_000);
  await all.fleet.checkDeadlines();
  t.equal(asked(all).length, 1, 'after the pause of a device that put off a job');
});

t.test('after a failure a birth asks again, but not within a minute', async (t) => {
  const all = await openTestFleet(t, undefined, 'atBirth');
  const a = await all.enrol('a');
  await all.birth(a, 1);
  await give(all, a, { jobId: only(asked(all)), outcome: 'infeasible', reason: 'killed by signal 9' });
  t.match(await all.fleet.showDevice(a), { qualification: null, qualifyFailure: 'killed by signal 9' });
  t.same(await askedAfter(all, 10 * MINUTE), { before: [], after: [] }, 'nobody asks it by itself');
  await all.birth(a, 2);
  await give(all, a, { jobId: only(asked(all)), outcome: 'failed', reason: 'again' });
  await all.birth(a, 3);
  const { before, after } = await askedAfter(all, 5 * MINUTE);
  t.same([before.length, after.length], [0, 1], 'the second time five minutes');
});

t.test('quarantine: no candidates, asked after 0, 1, 5, 15, 60, 60 minutes until it is steady', async (t) => {
  const all = await openTestFleet(t);
  const [a, b] = [await all.enrol('a', 'boot-1'), await all.enrol('b', 'boot-1')];
  await all.birth(b, 1);
  await all.birth(a, 1);
  const first = await all.submit(b);
  const waiting = await all.submit(a);
  all.take();
  await all.fleet.forCampaign.quarantine(a, 'its sentinel is 14 % slower than before');
  await all.fleet.forCampaign.quarantine(a, 'another reason');
  const ends = async () =>
    new Map(
      (await all.fleet.forCampaign.jobsOfSearch('srch_0000000000')).map(({ jobId, end }) => [jobId, end]),
    );
  t.match((await ends()).get(waiting), {
    outcome: 'postponed',
    reason: 'its device is in quarantine (its sentinel is 14 % slower than before)',
  });
  t.same(asked(all), [], 'its machine is at work for another device');
  await give(all, b, { jobId: first, outcome: 'measured', measurement });
  let jobId = only(asked(all));
  t.not(jobId, '');
  t.same(
    (await all.fleet.forCampaign.idleDevices('board')).map(({ id }) => id),
    [b],
  );
  await t.rejects(all.submit(a), coded('STATE_CONFLICT', a, 'in quarantine', '14 % slower'));
  t.match(await all.fleet.showDevice(a), {
    quarantine: { reason: 'its sentinel is 14 % slower than before' },
  });
  for (const minutes of [1, 5, 15, 60, 60]) {
    await qualify(all, a, jobId, unsteady);
    t.match(await all.fleet.showDevice(a), {
      idleReason: /^in quarantine until it qualifies anew: its sentinel is 14 % slower/,
      qualification: { accepted: false },
    });
    all.take();
    const { before, after } = await askedAfter(all, minutes * MINUTE);
    t.same([before.length, after.length], [0, 1], `${minutes} minutes`);
    jobId = only(after);
  }
  let changed = 0;
  all.fleet.forCampaign.onDevicesChanged(() => changed++);
  await qualify(all, a, jobId);
  t.ok(changed > 0, 'campaigns look for work');
  t.match(await all.fleet.showDevice(a), { quarantine: null, qualification: { accepted: true } });
  t.same(
    (await all.fleet.forCampaign.idleDevices('board')).map(({ id }) => id),
    [a, b].sort(),
  );
  t.same(await askedAfter(all, 600 * MINUTE), { before: [], after: [] });
});

t.test('quarantine outlives the coordinator: the next birth is asked', async (t) => {
  const folder = await temporaryFolder(t);
  const before = await openTestFleet(t, folder);
  const a = await before.enrol('a');
  await before.birth(a, 1);
  await before.fleet.forCampaign.quarantine(a, 'too slow');
  await before.store.close();
  const after = await openTestFleet(t, folder);
  await after.fleet.start();
  t.match(await after.fleet.showDevice(a), { quarantine: { reason: 'too slow' } });
  await after.birth(a, 2);
  t.equal(asked(after).length, 1, 'what was asked before is sent again');
});

t.test('an agent of before 0.3 stays in quarantine, and people are told why', async (t) => {
  const all = await openTestFleet(t);
  const a = await all.enrol('a', '', { agentVersion: '0.2.0' });
  await all.birth(a, 1);
  t.equal(
    (await all.fleet.showDevice(a)).idleReason,
    'no search has work for class "board" that its agent 0.2.0 can read, 0.3 or newer reads all',
  );
  await all.fleet.forCampaign.quarantine(a, 'too slow');
  t.same(asked(all), []);
  t.equal(
    (await all.fleet.showDevice(a)).idleReason,
    'in quarantine until it qualifies anew, which its agent 0.2.0 cannot, wanted 0.3 or newer: too slow',
  );
});

t.test(
  'an agent of before 0.3 gets candidates of old plans, no batch and no plan with sessions',
  async (t) => {
    const all = await openTestFleet(t);
    const a = await all.enrol('a', '', { agentVersion: '0.2.0' });
    await all.birth(a, 1);
    t.match(await all.fleet.forCampaign.idleDevices('board'), [{ id: a, takesBatches: false }]);
    const { sessions: _, provider: __, ...plan } = measurement.plan;
    const genome = 'g1:u:8.8.8.8.100/8.8.8.8.100';
    const body = {
      genome,
      baseDigest: 'a'.repeat(64),
      adapterDigest: 'b'.repeat(64),
      plan,
      timeoutMs: 10_000,
    };
    const submit = (change: object) =>
      all.fleet.forCampaign.submit({
        ...{ kind: 'trial', searchId: 'srch_0000000000', trialIds: ['trl_0000000001'], deviceId: a },
        body: { ...body, ...change },
      });
    await t.rejects(submit({ others: [genome] }), coded('STATE_CONFLICT', 'agent 0.2.0', 'a batch', '0.3'));
    await t.rejects(submit({ plan: measurement.plan }), coded('STATE_CONFLICT', 'a plan with sessions'));
    await t.rejects(submit({ plan: { ...plan, sustainedSeconds: 5 } }), coded('STATE_CONFLICT', a));
    const jobId = await submit({});
    t.match(all.take(), [{ kind: 'job', body: { jobId, ...body } }]);
  },
);

t.test('of a device 8 qualifications are kept, the newest', async (t) => {
  const all = await openTestFleet(t);
  const [a, b] = [await all.enrol('a'), await all.enrol('b')];
  await all.birth(a, 1);
  await all.birth(b, 1);
  const other = (await all.fleet.qualify(b)).qualifyJobId ?? '';
  await qualify(all, b, other);
  const ids: string[] = [];
  for (let round = 0; round < 10; round++) {
    const { qualifyJobId } = await all.fleet.qualify(a);
    ids.push(qualifyJobId ?? '');
    await qualify(all, a, qualifyJobId ?? '');
    all.clock.advance(1);
  }
  const kept = [];
  for (const id of ids) if ((await all.store.fleet.jobs.find(id)) !== null) kept.push(id);
  t.same(kept, ids.slice(-8));
  t.not(await all.store.fleet.jobs.find(other), null, 'those of others are not touched');
});
