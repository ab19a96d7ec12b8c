import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  openPolicyWatch,
  type PolicyWatch,
  readPolicyFile,
  type Sensors,
  underPolicy,
  writePolicyFile,
} from '@fleetlora/agent/policy';
import { createServingActivity } from '@fleetlora/agent/serve';
import type { Conditions, DevicePolicy, PolicyOrder } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { createManualClock } from '../lib/manual-clock.js';
import { tempFolder } from '../lib/temp-folder.js';
import { measurement } from '../lib/test-fleet.js';

const orderOf = (policy: DevicePolicy): PolicyOrder => ({
  policies: [{ scope: { kind: 'class', name: 'pi5' }, policy }],
});
const measured = { outcome: 'measured', measurement } as const;

/** A watch over sensors that a test sets; checks happen when the test asks for them. */
async function open(t: Test, order: PolicyOrder = { policies: [] }) {
  const senses = { onMains: true, temperatureC: 50, metered: false, minuteOfDay: 850 };
  const asked: string[] = [];
  const answer = async <T>(sensor: string, value: T): Promise<T> => {
    asked.push(sensor);
    return value;
  };
  const sensors: Sensors = {
    onMains: () => answer('power', senses.onMains),
    temperatureC: () => answer('temperature', senses.temperatureC),
    metered: () => answer('network', senses.metered),
    localTime: () => ({ minuteOfDay: senses.minuteOfDay, isSet: true }),
  };
  const activity = createServingActivity();
  const clock = createManualClock();
  const told: Conditions[] = [];
  const kept: PolicyOrder[] = [];
  const disk = { isFull: false };
  const errors: string[] = [];
  const watch = await openPolicyWatch({
    order,
    sensors,
    activity,
    clock,
    keep: async (wanted) => {
      if (disk.isFull) throw new Error('no space');
      kept.push(wanted);
    },
    tell: (conditions) => void told.push(conditions),
    log: { debug() {}, info() {}, warn() {}, error: (_fields, text) => void errors.push(text) },
    checkEveryMs: 2 ** 30,
  });
  t.teardown(watch.stop);
  /** A request that runs until it is let go. */
  const serve = () => {
    let end = (): void => {};
    const done = activity.during(() => new Promise<void>((resolve) => (end = resolve)));
    return async () => {
      end();
      await done;
    };
  };
  return { watch, senses, asked, clock, told, kept, disk, errors, serve };
}

/** A job whose steps end when the test says so, or when they are stopped. */
function startJob(watch: PolicyWatch, signal = new AbortController().signal) {
  const steps: string[] = [];
  let finish = (): void => {};
  const until = (step: string, stop: AbortSignal): Promise<void> => {
    steps.push(step);
    return new Promise((resolve, reject) => {
      finish = resolve;
      stop.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
    });
  };
  const outcome = underPolicy(watch, signal, {
    fetch: (stop) => until('fetch', stop),
    // As the real one does, a measurement that is stopped says canceled.
    measure: (stop) =>
      until('measure', stop).then(
        () => measured,
        () => ({ outcome: 'canceled', reason: 'canceled' }) as const,
      ),
  });
  return { outcome, steps, finish: () => finish() };
}
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('a job that is allowed is fetched and measured', async (t) => {
  const { watch, told } = await open(t);
  const job = startJob(watch);
  job.finish();
  await nextTurn();
  job.finish();
  t.same(await job.outcome, measured);
  t.same(job.steps, ['fetch', 'measure']);
  t.same(told, []);
});

t.test('a job that comes while it is forbidden is postponed, and nothing is fetched', async (t) => {
  const { watch, told } = await open(t, orderOf({ hours: ['22:00-06:00'] }));
  const job = startJob(watch);
  t.match(told, [{ mayMeasure: false }], 'told before the result is');
  t.same(await job.outcome, { outcome: 'postponed', reason: 'policy of class pi5: outside 22:00-06:00' });
  t.same(job.steps, []);
});

t.test('a reading that forbids stops a download and a measurement at the next check', async (t) => {
  for (const steps of [['fetch'], ['fetch', 'measure']]) {
    const { watch, senses, told } = await open(t, orderOf({ mainsPower: true }));
    const job = startJob(watch);
    if (steps.length === 2) job.finish();
    await nextTurn();
    senses.onMains = false;
    await watch.check();
    t.same(await job.outcome, { outcome: 'postponed', reason: 'policy of class pi5: not on mains power' });
    t.same(job.steps, steps);
    t.match(told, [{ mayMeasure: false, onMains: false }]);
    senses.onMains = true;
    await watch.check();
    t.match(told.slice(1), [{ mayMeasure: true, reasons: [], onMains: true }]);
  }
});

t.test('a job that its coordinator cancels is canceled, also when it is forbidden besides', async (t) => {
  const { watch, senses } = await open(t, orderOf({ mainsPower: true }));
  const cancel = new AbortController();
  const job = startJob(watch, cancel.signal);
  job.finish();
  await nextTurn();
  cancel.abort();
  senses.onMains = false;
  await watch.check();
  t.match(await job.outcome, { outcome: 'canceled' });
});

t.test('an error of a step that nothing forbids is an error', async (t) => {
  const { watch } = await open(t);
  const steps = { fetch: () => Promise.reject(new Error('gone')), measure: async () => measured };
  await t.rejects(underPolicy(watch, new AbortController().signal, steps), { message: 'gone' });
});

t.test('a request stops a measurement at once, without any policy', async (t) => {
  const { watch, serve, told, clock } = await open(t);
  const job = startJob(watch);
  job.finish();
  await nextTurn();
  const endRequest = serve();
  const reason = 'it serves requests; waits for 5 s without one';
  t.match(told, [{ mayMeasure: false, reasons: [reason] }], 'in the same turn');
  t.same(await job.outcome, { outcome: 'postponed', reason });
  await endRequest();
  clock.advance(4999);
  await watch.check();
  t.equal(watch.conditions().mayMeasure, false);
  clock.advance(1);
  await watch.check();
  t.match(told.slice(1), [{ mayMeasure: true, reasons: [] }]);
  t.equal(told.length, 2);
});

t.test('a request does not stop a download; the measurement after it waits', async (t) => {
  const { watch, serve, told } = await open(t);
  const job = startJob(watch);
  serve();
  t.same(told, []);
  job.finish();
  t.match(await job.outcome, { outcome: 'postponed', reason: /^it serves requests/ });
  t.same(job.steps, ['fetch']);
});

t.test('requests of a device that has nothing to measure are not told', async (t) => {
  const { watch, serve, told, clock } = await open(t, orderOf({ quietSeconds: 60 }));
  await serve()();
  t.same(told, []);
  await watch.check();
  t.match(told, [{ mayMeasure: false }], 'but what a policy says of them is, with the next check');
  await serve()();
  await watch.check();
  t.equal(told.length, 1, 'once');
  clock.advance(60_000);
  await watch.check();
  t.match(told.slice(1), [{ mayMeasure: true }]);
});

t.test('a policy that says why serving forbids says it alone', async (t) => {
  const { watch, serve, clock, told } = await open(t, orderOf({ quietSeconds: 2 }));
  const job = startJob(watch);
  job.finish();
  await nextTurn();
  const endRequest = serve();
  const reason = 'policy of class pi5: it served a request less than 2 s ago';
  t.same(await job.outcome, { outcome: 'postponed', reason });
  await endRequest();
  for (const [passedMs, reasons] of [
    [1999, [reason]],
    [1, ['it serves requests; waits for 5 s without one']],
    [3000, []],
  ] as const) {
    clock.advance(passedMs);
    await watch.check();
    t.same(told.at(-1)?.reasons, reasons, 'the longer of both decides');
  }
});

t.test(
  'quiet is waited for longer with each measurement that was stopped, until one is finished',
  async (t) => {
    const { watch, serve, clock } = await open(t);
    const run = async (disturb: boolean) => {
      const job = startJob(watch);
      job.finish();
      await nextTurn();
      if (disturb) await serve()();
      else job.finish();
      return job.outcome;
    };
    t.match(await run(true), { reason: /waits for 5 s/ });
    clock.advance(5000);
    t.match(await run(true), { reason: /waits for 10 s/ });
    clock.advance(9999);
    t.match(await run(false), { outcome: 'postponed', reason: /waits for 10 s/ });
    clock.advance(1);
    t.same(await run(false), measured);
    t.match(await run(true), { reason: /waits for 5 s/ });
  },
);

t.test('a temperature that jitters around its limit is told twice', async (t) => {
  const { watch, senses, told } = await open(t, orderOf({ maxTemperatureC: 60 }));
  for (const temperatureC of [59.9, 60.1, 59.9, 60.2, 58.1, 60.4, 58, 59.9, 60]) {
    senses.temperatureC = temperatureC;
    await watch.check();
  }
  t.match(told, [
    { mayMeasure: false, temperatureC: 60.1, reasons: ['policy of class pi5: above 60 °C'] },
    { mayMeasure: true, temperatureC: 58 },
  ]);
  t.equal(told.length, 2);
});

t.test('an order holds at once, is kept, and is answered with the conditions', async (t) => {
  const { watch, told, kept } = await open(t);
  const job = startJob(watch);
  const order = orderOf({ hours: ['22:00-06:00'] });
  watch.obey(order);
  t.match(await job.outcome, { outcome: 'postponed' });
  await watch.check();
  await nextTurn();
  t.same(kept, [order]);
  t.match(told.at(-1), { mayMeasure: false, localTime: '14:10' });
  const before = told.length;
  watch.obey(order);
  await watch.check();
  await nextTurn();
  t.same(kept, [order], 'the same again is not written again');
  t.ok(told.length > before, 'but answered');
  watch.obey({ policies: [] });
  t.equal(watch.conditions().mayMeasure, true);
});

t.test('an order that cannot be written holds, and is written when there is space', async (t) => {
  const { watch, kept, disk, errors } = await open(t);
  disk.isFull = true;
  const order = orderOf({ hours: ['22:00-06:00'] });
  watch.obey(order);
  while (errors.length === 0) await nextTurn();
  t.equal(watch.conditions().mayMeasure, false);
  t.same(kept, []);
  disk.isFull = false;
  await watch.check();
  while (kept.length === 0) await nextTurn();
  t.same(kept, [order]);
});

t.test('while it measures a device reads no sensor that its policies do not ask for', async (t) => {
  const { watch, asked, clock } = await open(t, orderOf({ mainsPower: true }));
  t.same(asked.splice(0), ['power', 'temperature', 'network']);
  await watch.check();
  t.same(asked.splice(0), ['power', 'temperature'], 'NetworkManager is asked once a minute');
  clock.advance(60_000);
  const job = startJob(watch);
  job.finish();
  await nextTurn();
  await watch.check();
  t.same(asked.splice(0), ['power']);
  job.finish();
  await job.outcome;
  await watch.check();
  t.same(asked, ['power', 'temperature', 'network']);
});

t.test('of 10 reasons 7 are told, and how many more there are', async (t) => {
  const policies = Array.from({ length: 10 }, (_, n) => ({
    scope: { kind: 'label' as const, name: `l${n}` },
    policy: { hours: ['22:00-06:00'] },
  }));
  const { watch } = await open(t, { policies });
  const { reasons } = watch.conditions();
  t.equal(reasons.length, 8);
  t.same(reasons.slice(6), ['policy of label l6: outside 22:00-06:00', 'and 3 more']);
  watch.obey({ policies: policies.slice(0, 8) });
  t.equal(watch.conditions().reasons.at(-1), 'policy of label l7: outside 22:00-06:00');
});

t.test('the policies of a data folder: none at first, then what was written, then nonsense', async (t) => {
  const path = join(await tempFolder(t), 'policy.json');
  t.same(await readPolicyFile(path), { policies: [] });
  const order = orderOf({ hours: ['22:00-06:00'], quietSeconds: 5 });
  await writePolicyFile(path, order);
  t.same(await readPolicyFile(path), order);
  await writeFile(path, '{"policies": [{}]}');
  await t.rejects(readPolicyFile(path), coded('STATE_CONFLICT', path, 'delete it'));
});
