import { gateLimitsOf, openMachine } from '@fleetlora/agent/host';
import t, { type Test } from 'tap';
import {
  amdGuest,
  type CoreTicks,
  type KernelFiles,
  layFiles,
  layMachine,
  processFiles,
  raspberryPi5,
  statFile,
} from '../lib/recorded-machines.js';
import { createJumpingTime } from '../lib/staged-time.js';

interface GateCase {
  readonly machine: KernelFiles;
  readonly coolWaitMs?: number;
  readonly quietWaitMs?: number;
  /** Files as they are at a moment, in ms since the begin. */
  readonly at: (nowMs: number) => KernelFiles;
}

async function openGates(t: Test, { machine, coolWaitMs = 0, quietWaitMs = 0, at }: GateCase) {
  const root = await layMachine(t, machine, at(0));
  const { clock, pause } = createJumpingTime((nowMs) => layFiles(root, at(nowMs)));
  const limits = { coolWaitMs, quietWaitMs, maxOtherShare: 0.1 };
  return openMachine({ clock, pause, limits, root, pid: 100, emulated: false });
}

const heat = (celsius: number): KernelFiles => ({
  'sys/class/thermal/thermal_zone0/temp': String(Math.round(celsius * 1000)),
});
const trip = (type: string, celsius: number): KernelFiles => ({
  'sys/class/thermal/thermal_zone0/trip_point_3_type': type,
  'sys/class/thermal/thermal_zone0/trip_point_3_temp': String(celsius * 1000),
});

for (const [trips, celsius, isCool] of [
  [{}, 60, true],
  [{}, 60.1, false],
  [trip('passive', 85), 70, true],
  [trip('passive', 85), 70.1, false],
  [trip('hot', 70), 55.1, false],
  [trip('active', 30), 60, true],
  [trip('critical', 70), 60, true],
] as const)
  t.test(
    `a Pi 5 with ${JSON.stringify(Object.values(trips))} at ${celsius} °C is ${isCool ? 'cool' : 'hot'}`,
    async (t) => {
      const machine = await openGates(t, { machine: { ...raspberryPi5, ...trips }, at: () => heat(celsius) });
      t.same(await machine.waitUntilCool(), { waitedMs: 0, hot: !isCool });
    },
  );

t.test('waits while it cools: 80 °C, a degree less each 2 s, is 60 °C after 40 s', async (t) => {
  const at = (nowMs: number) => heat(80 - nowMs / 2000);
  const machine = await openGates(t, { machine: raspberryPi5, coolWaitMs: 300_000, at });
  t.same(await machine.waitUntilCool(), { waitedMs: 40_000, hot: false });
});

t.test('waits no longer than it may: the same with 39.5 s', async (t) => {
  const at = (nowMs: number) => heat(80 - nowMs / 2000);
  const machine = await openGates(t, { machine: raspberryPi5, coolWaitMs: 39_500, at });
  t.same(await machine.waitUntilCool(), { waitedMs: 39_500, hot: true });
});

t.test(
  'gives up once it cools no more: 80 °C, a degree less each s down to 70 °C, then a minute of nothing',
  async (t) => {
    const at = (nowMs: number) => heat(Math.max(70, 80 - nowMs / 1000));
    const machine = await openGates(t, { machine: raspberryPi5, coolWaitMs: 300_000, at });
    t.same(await machine.waitUntilCool(), { waitedMs: 70_000, hot: true });
  },
);

t.test('goes on while it cools slowly: half a degree in 59 s is progress', async (t) => {
  const at = (nowMs: number) => heat(62 - 0.5 * Math.floor(nowMs / 59_000));
  const machine = await openGates(t, { machine: raspberryPi5, coolWaitMs: 300_000, at });
  t.same(await machine.waitUntilCool(), { waitedMs: 4 * 59_000, hot: false });
});

t.test('waiting for coolness is cancelled with its reason', async (t) => {
  const cancel = new AbortController();
  const machine = await openGates(t, {
    machine: raspberryPi5,
    coolWaitMs: 300_000,
    at(nowMs) {
      if (nowMs === 5000) cancel.abort(new Error('enough'));
      return heat(80);
    },
  });
  await t.rejects(machine.waitUntilCool(cancel.signal), new Error('enough'));
});

/** Two cores at a moment: others used `otherTicks` of one, the tree of process 100 half of the other. */
function load(nowMs: number, otherTicks: number): KernelFiles {
  const total = nowMs / 10;
  const own = total / 2;
  const cores: CoreTicks[] = [
    { user: own, idle: total - own },
    { nice: otherTicks, idle: total - otherTicks },
  ];
  return {
    ...statFile(cores.map((ticks) => ({ ...ticks, idle: (ticks.idle ?? 0) + 5000 }))),
    ...processFiles([
      { pid: 1, parent: 0, name: 'init', utime: 777 },
      { pid: 100, parent: 1, utime: 50 },
      { pid: 101, parent: 100, name: 'x) y', utime: own - 10, stime: 10 },
      { pid: 300, parent: 1, name: 'busy', utime: otherTicks },
    ]),
  };
}

for (const [ticks, busy] of [
  [6, false],
  [7, true],
] as const)
  t.test(
    `others with ${ticks} of the 60 ticks of 2 cores in a window are ${busy ? 'busy' : 'quiet'}`,
    async (t) => {
      // The limit ends the wait after the first window of 300 ms.
      const machine = await openGates(t, {
        machine: amdGuest,
        quietWaitMs: 100,
        at: (nowMs) => load(nowMs, (nowMs / 300) * ticks),
      });
      t.same(await machine.waitUntilQuiet(), { waitedMs: 300, otherCores: (ticks / 60) * 2, busy });
    },
  );

t.test(
  'waits until others are quiet: they take a core for 3 s; the first window after it opens',
  async (t) => {
    const at = (nowMs: number) => load(nowMs, Math.min(nowMs, 3000) / 10);
    const machine = await openGates(t, { machine: amdGuest, quietWaitMs: 20_000, at });
    t.same(await machine.waitUntilQuiet(), { waitedMs: 3300, otherCores: 0, busy: false });
  },
);

t.test(
  'waits no longer than 20 s for others that never rest, and then less each time, down to an eighth',
  async (t) => {
    let rests = false;
    let otherTicks = 0;
    let lastMs = 0;
    const at = (nowMs: number): KernelFiles => {
      if (!rests) otherTicks += (nowMs - lastMs) / 10;
      lastMs = nowMs;
      return load(nowMs, otherTicks);
    };
    const machine = await openGates(t, { machine: amdGuest, quietWaitMs: 20_000, at });
    const waited: number[] = [];
    for (let wait = 0; wait < 6; wait++) {
      const { waitedMs, otherCores, busy } = await machine.waitUntilQuiet();
      t.same({ otherCores, busy }, { otherCores: 1, busy: true });
      waited.push(waitedMs);
    }
    // Whole windows of 300 ms that reach 20, 10, 5 and 2.5 s.
    t.same(waited, [20_100, 10_200, 5100, 2700, 2700, 2700]);
    rests = true;
    t.equal((await machine.waitUntilQuiet()).busy, false);
    rests = false;
    t.equal((await machine.waitUntilQuiet()).waitedMs, 20_100, 'patient again after a quiet window');
  },
);

t.test('a wait of 0 s does not look at all; a machine that tells nothing opens at once', async (t) => {
  const open = await openGates(t, { machine: amdGuest, at: (nowMs) => load(nowMs, nowMs / 10) });
  t.same(await open.waitUntilQuiet(), { waitedMs: 0, otherCores: null, busy: false });
  const silent = await openGates(t, { machine: {}, quietWaitMs: 20_000, at: () => ({}) });
  t.same(await silent.waitUntilQuiet(), { waitedMs: 0, otherCores: null, busy: false });
});

t.test('waiting for quiet is cancelled with its reason', async (t) => {
  const cancel = new AbortController();
  const machine = await openGates(t, {
    machine: amdGuest,
    quietWaitMs: 20_000,
    at(nowMs) {
      if (nowMs === 900) cancel.abort(new Error('enough'));
      return load(nowMs, nowMs / 10);
    },
  });
  await t.rejects(machine.waitUntilQuiet(cancel.signal), new Error('enough'));
});

t.test('limits: 5 minutes for coolness, 20 s for quiet, a tenth of the cores for others', async (t) => {
  t.same(gateLimitsOf({}), { coolWaitMs: 300_000, quietWaitMs: 20_000, maxOtherShare: 0.1 });
  t.same(gateLimitsOf({ coolWaitSeconds: 0, quietWaitSeconds: 3 }), {
    coolWaitMs: 0,
    quietWaitMs: 3000,
    maxOtherShare: 0.1,
  });
});
