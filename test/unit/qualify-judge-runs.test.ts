import { judgeRuns } from '@fleetlora/agent/qualify';
import type { MachineState } from '@fleetlora/shared/protocol';
import t from 'tap';
import { calmMachine, makeMeasurement } from '../lib/measurements.js';

for (const [decodeMs, spreadPercent, accepted] of [
  [[100, 100, 100, 100, 100], 0, true],
  // (104 - 99) / 100: just accepted; the order does not matter.
  [[99, 104, 100, 100, 101], 5, true],
  [[99, 104.1, 100, 100, 101], 5.1, false],
  // The median of two is the smaller one, by nearest rank: (102 - 98) / 98.
  [[102, 98], 4.082, true],
  // One run that is off is no outlier to drop.
  [[2, 2, 2, 2, 3], 50, false],
] as const)
  t.test(`decode medians of ${decodeMs.join(', ')} ms spread by ${spreadPercent} %`, async (t) => {
    const judged = judgeRuns(decodeMs.map((ms) => makeMeasurement(ms)));
    t.match(judged, { accepted, spreadPercent, limitPercent: 5 });
    t.strictSame(
      judged.runs,
      decodeMs.map((ms) => ({ prefillMs: 10 * ms, decodeMs: ms })),
    );
  });

t.test('flags of any run, each once, in the order of all flags', async (t) => {
  const flagged = (...flags: NonNullable<ReturnType<typeof makeMeasurement>['flags']>) =>
    makeMeasurement(1, { flags });
  t.strictSame(
    judgeRuns([flagged('outliers'), flagged(), flagged('busy', 'outliers'), flagged('hot')]).flags,
    ['hot', 'busy', 'outliers'],
  );
  const { flags: _, ...old } = makeMeasurement(1);
  t.strictSame(judgeRuns([old]).flags, []);
});

t.test('the machine over all runs: from the first begin to the last end, the worst of each', async (t) => {
  const run = (changes: Partial<MachineState>) =>
    makeMeasurement(1, { machine: { ...calmMachine, ...changes } });
  t.strictSame(
    judgeRuns([
      run({
        temperatureStartC: 40,
        temperatureEndC: 50,
        throttled: false,
        onMains: true,
        governor: 'schedutil',
        otherCores: 0.2,
        waitedMs: { cooling: 10, quiet: 1, serving: 5 },
      }),
      run({ otherCores: 0.1, retakenSessions: 2, waitedMs: { cooling: 20, quiet: 2, serving: 0 } }),
      run({
        temperatureStartC: 45,
        temperatureEndC: 55,
        throttled: true,
        onMains: false,
        governor: 'performance',
        retakenSessions: 1,
      }),
    ]).machine,
    {
      temperatureStartC: 40,
      temperatureEndC: 55,
      throttled: true,
      onMains: false,
      governor: 'schedutil,performance',
      otherCores: 0.15,
      waitedMs: { cooling: 30, quiet: 3, serving: 5 },
      retakenSessions: 3,
    },
  );
  t.strictSame(judgeRuns([run({}), run({})]).machine, calmMachine, 'what nobody tells stays untold');
});
