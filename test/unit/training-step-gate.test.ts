import { createStepGate, SLICE_MS } from '@fleetlora/coordinator/training';
import t from 'tap';
import { createManualClock } from '../lib/manual-clock.js';

function openGate() {
  const clock = createManualClock();
  const told: string[] = [];
  const gate = createStepGate(clock, () => void told.push('paused'));
  /** Makes steps of so many milliseconds until the gate holds one back or `most` are made. */
  const steps = async (most: number, stepMs: number): Promise<number> => {
    for (let made = 0; made < most; made++) {
      let passed = false;
      const passing = gate.pass().then(() => {
        passed = true;
      });
      await new Promise(setImmediate);
      if (!passed) {
        held = passing;
        return made;
      }
      clock.advance(stepMs);
    }
    return most;
  };
  let held: Promise<void> | null = null;
  return { gate, clock, told, steps, held: () => held };
}

t.test('nobody asks: no pause', async (t) => {
  const { told, steps } = openGate();
  t.equal(await steps(100, 100), 100);
  t.same(told, []);
});

for (const [stepMs, most] of [
  [100, 20],
  [1999, 2],
  [2000, 1],
  [60_000, 1],
] as const)
  t.test(`asked at once, steps of ${stepMs} ms: each slice of 2 s has ${most} of them`, async (t) => {
    const { gate, clock, told, steps, held } = openGate();
    t.equal(SLICE_MS, 2000);
    gate.pause('afterSlice');
    gate.pause('afterSlice');
    t.equal(await steps(100, stepMs), most);
    for (let slice = 2; slice <= 4; slice++) {
      // However long the pause was.
      clock.advance(1e6);
      gate.goOn();
      await held();
      gate.pause('afterSlice');
      // The step that was held back is the first of this slice.
      clock.advance(stepMs);
      t.equal(1 + (await steps(100, stepMs)), most, `slice ${slice}`);
      t.equal(told.length, slice);
    }
  });

t.test('asked for the very next step: no slice before it', async (t) => {
  const { gate, told, steps } = openGate();
  gate.pause('next');
  gate.pause('afterSlice');
  t.equal(await steps(5, 1), 0);
  t.same(told, ['paused']);
});

t.test('an asking that is taken back pauses nothing', async (t) => {
  const { gate, steps } = openGate();
  gate.pause('afterSlice');
  gate.goOn();
  t.equal(await steps(5, 3000), 5);
});

t.test('opened in a pause, it goes on and pauses no more', async (t) => {
  const { gate, told, steps, held } = openGate();
  gate.pause('next');
  t.equal(await steps(1, 1), 0);
  gate.open();
  await held();
  gate.pause('next');
  t.equal(await steps(5, 3000), 5);
  t.same(told, ['paused']);
});
