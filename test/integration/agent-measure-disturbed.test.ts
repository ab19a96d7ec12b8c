import type { Machine, MachineReading } from '@fleetlora/agent/host';
import { type MeasureDoors, type MeasureTask, measureJob } from '@fleetlora/agent/measure';
import type { Measurement } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { calmDoors, openMeasureTask } from '../lib/measure-tasks.js';
import { type MachineLine, scriptMachine } from '../lib/scripted-machine.js';

const child = (name: string): URL => new URL(`../lib/children/${name}-child.js`, import.meta.url);
const plan = { promptTokens: 8, kvTokens: 16, prefillRepeats: 3, decodeRepeats: 3, threads: 1, sessions: 3 };
const busy = { busy: true, otherCores: 1.5 };
const oneRound = ['cool', 'quiet', 'watch', 'end'];
const rounds = (count: number): string[] => Array.from({ length: count }, () => oneRound).flat();

async function measure(t: Test, doors: MeasureDoors, changes: Partial<MeasureTask> = {}) {
  return measureJob(await openMeasureTask(t, { plan, ...changes }), doors);
}

/** Sessions that compute nothing: what is looked at is what happens around them. */
const scripted = { session: child('session-script') };

/** Measures on a machine with these sessions; tells what was thrown away, and why. */
async function onMachine(
  t: Test,
  lines: readonly MachineLine[],
  ...more: [Partial<Machine>?, Partial<MachineReading>[]?]
) {
  const machine = scriptMachine(lines, ...more);
  const disturbed: string[] = [];
  const outcome = await measure(
    t,
    calmDoors({
      machine,
      entries: scripted,
      onDisturbed: (session, reasons) => disturbed.push(`${session}: ${reasons.join()}`),
    }),
  );
  if (outcome.outcome !== 'measured') throw new Error(outcome.reason);
  const { measurement } = outcome;
  return {
    measurement,
    state: measurement.machine as NonNullable<Measurement['machine']>,
    disturbed,
    log: machine.log,
  };
}

t.test('gates open before each of 3 sessions, and a watch runs over each', async (t) => {
  const readings = [
    { temperatureC: 41, onMains: true, governor: 'powersave' },
    { temperatureC: 47, onMains: true, governor: 'powersave' },
  ];
  const { measurement, state, log, disturbed } = await onMachine(t, [{}], {}, readings);
  t.same(log, rounds(3));
  t.same(disturbed, []);
  t.same(state, {
    temperatureStartC: 41,
    temperatureEndC: 47,
    throttled: false,
    onMains: true,
    governor: 'powersave',
    otherCores: 0.25,
    waitedMs: { cooling: 0, quiet: 900, serving: 0 },
    retakenSessions: 0,
  });
  t.same(measurement.flags, ['fewSessions']);
});

t.test('a disturbed session is thrown away and taken anew', async (t) => {
  const { measurement, state, log, disturbed } = await onMachine(t, [{}, { seen: busy }, {}, {}]);
  t.same(log, rounds(4));
  t.same(disturbed, ['1: other processes kept 1.50 cores busy']);
  t.equal(state.retakenSessions, 1);
  t.equal(state.otherCores, 0.25, 'what was thrown away does not count');
  t.same(measurement.flags, ['fewSessions']);
  t.same(measurement.decode.sessionSizes, [1, 1, 1]);
});

t.test('two are taken anew; the third disturbed one counts and is flagged', async (t) => {
  const { measurement, state, log, disturbed } = await onMachine(t, [
    { seen: busy },
    {},
    { seen: { throttled: true } },
    { seen: busy },
    {},
  ]);
  t.same(log, rounds(5));
  t.same(disturbed, ['0: other processes kept 1.50 cores busy', '1: the processor was throttled']);
  t.equal(state.retakenSessions, 2);
  t.match(measurement.flags, ['busy', 'fewSessions']);
  t.equal(state.throttled, false);
});

t.test('what the gate could not wait out is no reason for another try', async (t) => {
  const noisy = await onMachine(t, [{ gate: 'busy', seen: busy }]);
  t.same([noisy.log, noisy.disturbed], [rounds(3), []]);
  t.same(noisy.measurement.flags, ['busy', 'fewSessions']);
  t.equal(noisy.state.otherCores, 1.5);

  const open = await onMachine(t, [{ gate: null, seen: busy }]);
  t.same([open.log, open.disturbed], [rounds(3), []], 'the gate is open: nobody waits, and it is flagged');
  t.same(open.measurement.flags, ['busy', 'fewSessions']);

  const warm = await onMachine(t, [{ hot: true, seen: { throttled: true }, throttleNow: true }]);
  t.same([warm.log, warm.disturbed], [rounds(3), []]);
  t.same(warm.measurement.flags, ['throttled', 'hot', 'fewSessions']);
  t.equal(warm.state.waitedMs.cooling, 9000);

  const calmAfterAll = await onMachine(t, [{ gate: 'busy' }]);
  t.same(calmAfterAll.measurement.flags, ['fewSessions'], 'busy at the gate, quiet while it counted');
  const mute = { throttled: null, otherCores: null };
  const unknown = await onMachine(t, [{ gate: 'busy', seen: mute }]);
  t.same(unknown.measurement.flags, ['busy', 'fewSessions'], 'nothing but the gate could tell');
  t.same([unknown.state.throttled, unknown.state.otherCores], [null, null]);
});

t.test('a session is cut short once it is throttled, twice; the next one endures', async (t) => {
  // The child hangs: only who kills it can end it.
  const machine = scriptMachine([{ throttleNow: true, seen: { throttled: true } }]);
  const disturbed: number[] = [];
  const doors = calmDoors({
    machine,
    entries: { session: child('hang') },
    onDisturbed: (session) => disturbed.push(session),
  });
  t.same(await measure(t, doors, { timeoutMs: 3000 }), {
    outcome: 'failed',
    reason: "timing was not done after the job's 3000 ms and was killed",
  });
  t.same(disturbed, [0, 0]);
  t.same(machine.log, rounds(3));
});

t.test('sessions beside completions are taken anew, and then no time is trusted', async (t) => {
  let looks = 0;
  // The count moves between the looks before and after the first session only.
  const once = { whenIdle: () => Promise.resolve(), startedRequests: () => (++looks > 1 ? 1 : 0) };
  const reasons: string[] = [];
  const onDisturbed: MeasureDoors['onDisturbed'] = (_, found) => reasons.push(...found);
  t.match(await measure(t, calmDoors({ activity: once, onDisturbed, entries: scripted })), {
    outcome: 'measured',
  });
  t.same([looks, reasons], [8, ['completions were served']], 'four sessions');
  let count = 0;
  const always = { whenIdle: () => Promise.resolve(), startedRequests: () => count++ };
  t.match(await measure(t, calmDoors({ activity: always, entries: scripted })), {
    outcome: 'failed',
    reason: /served completions during 3 sessions/,
  });
  t.equal(count, 6);
});

t.test('a long wait is told as it begins; the next step when it is over', async (t) => {
  const steps: string[] = [];
  let cool = (): void => {};
  const cooled = new Promise<void>((resolve) => {
    cool = resolve;
  });
  const machine = scriptMachine([{}], {
    waitUntilCool: () => cooled.then(() => ({ waitedMs: 7000, hot: false })),
  });
  const onProgress: MeasureDoors['onProgress'] = (step) => {
    steps.push(step);
    if (step === 'cooling') cool();
  };
  const outcome = await measure(t, calmDoors({ machine, onProgress }), { plan: { ...plan, sessions: 1 } });
  t.match(outcome, { outcome: 'measured', measurement: { machine: { waitedMs: { cooling: 7000 } } } });
  t.same(steps, ['cooling', 'timing', 'weighing']);
});

t.test('a job is canceled at each gate', async (t) => {
  const never = (signal?: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
  for (const gate of ['waitUntilCool', 'waitUntilQuiet', 'whenIdle'] as const) {
    const abort = new AbortController();
    const stuck = (signal?: AbortSignal): Promise<never> => {
      setImmediate(() => abort.abort());
      return never(signal);
    };
    const doors =
      gate === 'whenIdle'
        ? calmDoors({ activity: { startedRequests: () => 0, whenIdle: stuck } })
        : calmDoors({ machine: scriptMachine([{}], { [gate]: stuck }) });
    const outcome = await measure(t, doors, { signal: abort.signal });
    t.match(outcome, { outcome: 'canceled' }, gate);
  }
});

t.test('figures of an emulated processor say so', async (t) => {
  const { measurement } = await onMachine(t, [{}], { emulated: true });
  t.same(measurement.flags, ['emulated', 'fewSessions']);
});
