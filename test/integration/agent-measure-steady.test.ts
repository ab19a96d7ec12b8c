import type { EnergyMeter, EnergyReading } from '@fleetlora/agent/host';
import { type MeasureDoors, type MeasureTask, measureJob } from '@fleetlora/agent/measure';
import { Measurement, parseAs } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { calmDoors, genomeText, openMeasureTask } from '../lib/measure-tasks.js';
import { type MachineLine, scriptMachine } from '../lib/scripted-machine.js';

const child = (name: string): URL => new URL(`../lib/children/${name}-child.js`, import.meta.url);
const plan = { promptTokens: 8, kvTokens: 16, prefillRepeats: 1, decodeRepeats: 1, threads: 1, sessions: 1 };
const scripted = { entries: { steady: child('steady-script') } };

/** A meter that gives these readings, one a run; the last one again and again. */
function scriptMeter(readings: readonly (EnergyReading | null)[]): EnergyMeter & { readonly log: string[] } {
  const log: string[] = [];
  let runs = 0;
  return {
    source: 'rapl',
    log,
    async start() {
      const reading = readings[Math.min(runs++, readings.length - 1)] ?? null;
      log.push('start');
      return {
        async stop() {
          log.push('stop');
          return reading;
        },
      };
    },
  };
}

async function measure(t: Test, doors: Partial<MeasureDoors>, changes: Partial<MeasureTask> = {}) {
  const outcome = await measureJob(await openMeasureTask(t, { plan, ...changes }), calmDoors(doors));
  if (outcome.outcome !== 'measured') throw new Error(outcome.reason);
  for (const one of [outcome.measurement, ...(outcome.others ?? [])])
    parseAs(Measurement, one, 'measurement');
  return outcome;
}
const meteredBy = (meter: EnergyMeter, lines: readonly MachineLine[] = [{}]) =>
  scriptMachine(lines, { energyMeter: async () => meter });

t.test('energy: power of the run times the time of a step, for each candidate of a batch', async (t) => {
  const meter = scriptMeter([
    { joules: 18, seconds: 1.5 },
    { joules: 6, seconds: 1 },
  ]);
  const machine = meteredBy(meter);
  const steps: string[] = [];
  const { measurement, others } = await measure(
    t,
    { ...scripted, machine, onProgress: (step) => steps.push(step) },
    { others: [genomeText('unmerged', 2)] },
  );
  // 40 steps in 2 s: 0.05 s each, at 12 W and at 6 W.
  const rest = { source: 'rapl', tokens: 40, seconds: 2 };
  t.same(measurement.energy, { ...rest, watts: 12, joulesPerToken: 0.6 });
  t.same(others?.[0]?.energy, { ...rest, watts: 6, joulesPerToken: 0.3 });
  t.same(meter.log, ['start', 'stop', 'start', 'stop']);
  t.same(steps, ['timing', 'weighing', 'weighing', 'energy', 'energy']);
  t.equal(machine.log.filter((asked) => asked === 'cool').length, 3, 'one session and two runs');
});

for (const [why, readings, lines, runs] of [
  ['a sensor that fell silent', [null], [{}], 2],
  ['a counter that stands still', [{ joules: 0, seconds: 2 }], [{}], 2],
  ['others busy at the gate', [{ joules: 9, seconds: 2 }], [{}, { gate: 'busy' }], 2],
  ['others busy meanwhile', [{ joules: 9, seconds: 2 }], [{}, { seen: { busy: true, otherCores: 1 } }], 2],
] as const)
  t.test(`energy: ${why}, twice: absent, never invented`, async (t) => {
    const meter = scriptMeter(readings);
    const { measurement } = await measure(t, { ...scripted, machine: meteredBy(meter, lines) });
    t.notOk('energy' in measurement);
    t.equal(meter.log.filter((line) => line === 'start').length, runs);
    t.same(measurement.flags, ['fewSessions'], 'the times are not doubted for it');
  });

t.test('energy: a task that leaves it out starts no meter', async (t) => {
  const meter = scriptMeter([{ joules: 18, seconds: 1.5 }]);
  const { measurement } = await measure(t, { ...scripted, machine: meteredBy(meter) }, { energy: 'leftOut' });
  t.notOk('energy' in measurement);
  t.same(meter.log, []);
});

t.test('energy of a run that was throttled is what it was', async (t) => {
  const meter = scriptMeter([{ joules: 2, seconds: 2 }]);
  const lines = [{}, { seen: { throttled: true } }];
  const { measurement } = await measure(t, { ...scripted, machine: meteredBy(meter, lines) });
  t.equal(measurement.energy?.joulesPerToken, 0.05);
  t.same(meter.log, ['start', 'stop']);
});

t.test('energy: a disturbed run is taken once more', async (t) => {
  const meter = scriptMeter([null, { joules: 2, seconds: 2 }]);
  const { measurement } = await measure(t, { ...scripted, machine: meteredBy(meter) });
  t.equal(measurement.energy?.joulesPerToken, 0.05);
});

t.test('energy of real steps [5 s at 10 W]', async (t) => {
  const meter = scriptMeter([{ joules: 50, seconds: 5 }]);
  const { measurement } = await measure(t, { machine: meteredBy(meter) });
  const { tokens = 0, seconds = 0, watts, joulesPerToken = 0 } = measurement.energy ?? {};
  t.ok(seconds >= 5 && tokens > 0);
  t.equal(watts, 10);
  t.ok(Math.abs(joulesPerToken - (10 * seconds) / tokens) < 1e-9);
});

t.test('a continuous run: what the plan asks for, throttled or not, and flagged when busy', async (t) => {
  const sustainedSeconds = 1;
  const lines = [{}, { seen: { throttled: true, busy: true, otherCores: 1 } }];
  const machine = scriptMachine(lines, {}, [
    { temperatureC: 40 },
    { temperatureC: 41 },
    { temperatureC: 63 },
  ]);
  const { measurement } = await measure(t, { ...scripted, machine }, { plan: { ...plan, sustainedSeconds } });
  t.same(measurement.sustained, {
    seconds: 2,
    steps: 40,
    burstP50Ms: 49,
    sustainedP50Ms: 52,
    throttled: true,
    temperatureEndC: 63,
  });
  t.equal(measurement.machine?.throttled, false, 'the sessions were not');
  t.same(measurement.flags, ['busy', 'fewSessions']);

  const real = await measure(t, {}, { plan: { ...plan, sustainedSeconds } });
  t.ok((real.measurement.sustained?.seconds ?? 0) >= 1);
  t.ok((real.measurement.sustained?.steps ?? 0) > 1);
});

t.test(
  'a run that dies is the end of its candidate; one beside completions is taken once more',
  async (t) => {
    const long = { plan: { ...plan, sustainedSeconds: 1 } };
    const task = await openMeasureTask(t, long);
    t.same(await measureJob(task, calmDoors({ entries: { steady: child('abort') } })), {
      outcome: 'infeasible',
      reason: 'sustained crashed with SIGABRT',
    });
    // The count moves between the third and the fourth look: before and after the first run.
    let looks = 0;
    const once = { whenIdle: () => Promise.resolve(), startedRequests: () => (++looks > 3 ? 1 : 0) };
    await measure(t, { ...scripted, activity: once }, long);
    t.equal(looks, 6);
    let count = 0;
    const fromThenOn = { whenIdle: () => Promise.resolve(), startedRequests: () => Math.max(0, ++count - 2) };
    t.match(
      await measureJob(await openMeasureTask(t, long), calmDoors({ ...scripted, activity: fromThenOn })),
      {
        outcome: 'failed',
        reason: /sustained|completions during 2 continuous runs/,
      },
    );
  },
);
