import {
  explainIdle,
  planDispatch,
  type StoredDevice,
  type StoredJob,
  turnOf,
} from '@fleetlora/coordinator/fleet';
import { defaultMeasurePlan } from '@fleetlora/shared/protocol';
import t from 'tap';
import { testFacts } from '../lib/test-device.js';

const device = (id: string, bootId = '', online = true): StoredDevice => ({
  id,
  name: `name of ${id}`,
  deviceClass: 'board',
  facts: { ...testFacts, bootId },
  enrolledAtMs: 0,
  online,
  session: 1,
  lastSeenAtMs: 1_700_000_000_000,
  installedReleaseId: null,
  serveUrl: null,
  labels: [],
  conditions: null,
  qualification: null,
  quarantine: null,
});
const job = (id: string, deviceId: string, state: StoredJob['state'] = 'QUEUED'): StoredJob => ({
  id,
  searchId: 'search',
  kind: 'trial',
  trialIds: ['trial'],
  deviceId,
  state,
  body: { genome: 'g1:u:', baseDigest: '', adapterDigest: '', plan: defaultMeasurePlan, timeoutMs: 1000 },
  sends: 0,
  createdAtMs: 0,
  sentAtMs: null,
  endedAtMs: null,
  result: null,
  reason: null,
});
const planned = (jobs: StoredJob[], devices: StoredDevice[]): string[] =>
  planDispatch(jobs, new Map(devices.map((one) => [one.id, one]))).map(({ id }) => id);

t.test('a device gets its oldest job, and one at a time', async (t) => {
  t.same(planned([job('j1', 'a'), job('j2', 'a'), job('j3', 'b')], [device('a'), device('b')]), ['j1', 'j3']);
  t.same(planned([job('j1', 'a', 'SENT'), job('j2', 'a')], [device('a')]), []);
});

t.test('searches take turns on a machine, however many jobs each has waiting there', async (t) => {
  const of = (searchId: string, id: string, deviceId = 'a') => ({ ...job(id, deviceId), searchId });
  const devices = new Map([device('a', 'm'), device('b', 'm')].map((one) => [one.id, one]));
  let waiting = [of('s1', 'j1'), of('s1', 'j2', 'b'), of('s1', 'j3'), of('s2', 'j4'), of('s2', 'j5')];
  const lastServed = new Map<string, number>();
  const order: string[] = [];
  while (waiting.length > 0) {
    const chosen = planDispatch(waiting, devices, lastServed);
    t.equal(chosen.length, 1, 'one machine');
    for (const next of chosen) {
      order.push(next.id);
      lastServed.set(turnOf(next, devices), order.length);
      waiting = waiting.filter(({ id }) => id !== next.id);
    }
  }
  t.same(order, ['j1', 'j4', 'j2', 'j5', 'j3']);
});

t.test(
  'a qualification comes before all candidates of its machine, and waits for a running job',
  async (t) => {
    const question = (id: string, deviceId: string): StoredJob => ({
      ...job(id, deviceId),
      ...{ kind: 'qualification', searchId: '', trialIds: [] },
      body: { kind: 'qualify', runs: 5, pauseMs: 0, timeoutMs: 1000 },
    });
    const two = [device('a', 'm'), device('b', 'm')];
    t.same(planned([job('j1', 'a'), job('j2', 'b'), question('q', 'b')], two), ['q']);
    t.same(planned([question('q1', 'a'), question('q2', 'b')], two), ['q1'], 'the older one first');
    t.same(planned([job('j1', 'a', 'SENT'), question('q', 'b')], two), []);
    t.same(planned([job('j1', 'a'), question('q', 'b')], [device('a'), device('b')]), ['j1', 'q']);
  },
);

t.test('an offline or unknown device gets nothing', async (t) => {
  t.same(planned([job('j1', 'a'), job('j2', 'b')], [device('a', '', false)]), []);
});

t.test('devices of one booted machine take turns; an untold boot id is a machine of its own', async (t) => {
  const jobs = [job('j1', 'a'), job('j2', 'b'), job('j3', 'c')];
  t.same(planned(jobs, [device('a', 'm'), device('b', 'm'), device('c', 'n')]), ['j1', 'j3']);
  t.same(planned(jobs, [device('a'), device('b'), device('c')]), ['j1', 'j2', 'j3']);
  const running = [job('j1', 'a', 'SENT'), job('j2', 'b')];
  t.same(
    planned(running, [device('a', 'm', false), device('b', 'm')]),
    [],
    'it may still run while its device is offline',
  );
});

t.test('why a device idles, in words', async (t) => {
  const [a, b] = [device('a', 'm'), device('b', 'm')];
  t.equal(explainIdle(a, [job('j1', 'a', 'SENT')], [a, b]), null);
  t.equal(explainIdle(a, [], [a, b]), 'no search has work for class "board"');
  t.equal(
    explainIdle(a, [job('j1', 'b', 'SENT'), job('j2', 'a')], [a, b]),
    'it waits its turn: name of b on the same machine is measuring',
  );
  t.equal(explainIdle(a, [job('j2', 'a')], [a, b]), 'its next job is about to be sent');
  const quarantine = { reason: 'too slow', sinceMs: 1 };
  t.equal(explainIdle({ ...a, quarantine }, [], [a]), 'in quarantine until it qualifies anew: too slow');
  t.equal(explainIdle({ ...a, quarantine }, [job('j1', 'a', 'SENT')], [a]), null);
  t.equal(explainIdle(device('c', '', false), [], []), 'offline, last seen 2023-11-14T22:13:20.000Z');
  t.equal(
    explainIdle({ ...device('c', '', false), lastSeenAtMs: null }, [], []),
    'it has not connected since it enrolled',
  );
});
