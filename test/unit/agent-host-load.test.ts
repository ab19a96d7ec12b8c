import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openMachine, otherCoresBetween, type ProcessorTime, readProcessorTime } from '@fleetlora/agent/host';
import { systemClock } from '@fleetlora/shared/clock';
import t from 'tap';
import {
  amdGuest,
  type KernelFiles,
  layFiles,
  layMachine,
  processFiles,
  statFile,
} from '../lib/recorded-machines.js';
import { createSteppedTime } from '../lib/staged-time.js';

t.test(
  'times of all cores, and of a tree with its ended children; nice, interrupts and stolen time are busy',
  async (t) => {
    const root = await layMachine(
      t,
      statFile([
        { user: 1, nice: 2, system: 4, idle: 100, iowait: 50, irq: 8, softirq: 16, steal: 32 },
        { user: 64, idle: 200 },
      ]),
      processFiles([
        { pid: 1, parent: 0, utime: 1000 },
        { pid: 10, parent: 1, utime: 1, stime: 2, cutime: 4, cstime: 8 },
        { pid: 11, parent: 10, name: 'a (b) c', utime: 16 },
        { pid: 12, parent: 11, stime: 32 },
        { pid: 20, parent: 1, utime: 64 },
        { pid: 21, parent: 20, utime: 128 },
        { pid: 30, parent: 1, utime: 256 },
      ]),
      { 'proc/999/stat': '', 'proc/self/stat': 'not a process of its own' },
    );
    const wanted = { cores: 2, busyTicks: 127, totalTicks: 477 };
    t.same(readProcessorTime(root, 10), { ...wanted, ownTicks: 63 });
    t.same(readProcessorTime(root, 10, [20]), { ...wanted, ownTicks: 63 + 192 });
    t.same(
      readProcessorTime(root, 10, [12]),
      { ...wanted, ownTicks: 63 },
      'a tree inside a tree counts once',
    );
    t.same(readProcessorTime(root, 10, [4711]), { ...wanted, ownTicks: 63 }, 'one that ended');
  },
);

t.test('a system that does not tell of this process, or makes it up as an emulator does: null', async (t) => {
  const files = { ...statFile([{ user: 100, idle: 100 }]), ...processFiles([{ pid: 10, parent: 1 }]) };
  const root = await layMachine(t, files);
  t.equal(readProcessorTime(root, 10), null);
  t.equal(readProcessorTime(root, 11), null);
});

t.test('a system that does not tell: null', async (t) => {
  t.equal(readProcessorTime(await layMachine(t), 1), null);
  t.equal(readProcessorTime(await layMachine(t, { 'proc/stat': 'intr 1 2 3' }), 1), null);
  t.equal(readProcessorTime(await layMachine(t, { 'proc/stat': 'cpu  1 2 3 4' }), 1), null);
});

const time = (cores: number, totalTicks: number, busyTicks: number, ownTicks: number): ProcessorTime => ({
  cores,
  totalTicks,
  busyTicks,
  ownTicks,
});
const zero = time(2, 0, 0, 0);
for (const [name, to, wanted] of [
  ['half of 2 cores busy, half of that own', time(2, 200, 100, 50), 0.5],
  ['all busy, nothing own', time(2, 200, 200, 0), 2],
  ['all of it own', time(2, 200, 120, 120), 0],
  ['more own than busy: two counters, two instants', time(2, 200, 100, 103), 0],
  ['49 ticks of 2 cores are too few', time(2, 49, 49, 0), null],
  ['50 are enough', time(2, 50, 25, 0), 1],
  ['counters that stand still', zero, null],
  ['a core went away', time(1, 100, 50, 0), null],
  ['nothing was read', null, null],
] as const)
  t.test(`others between two readings, ${name}: ${wanted}`, async (t) => {
    t.equal(otherCoresBetween(zero, to), wanted);
    t.equal(otherCoresBetween(to, null), null);
  });

/** Two cores since boot at `ms`: the own child works throughout, another process takes `others` of a core. */
const moment = (ms: number, others: number, childEnded: boolean): KernelFiles => {
  const [total, other] = [ms / 10, (ms / 10) * others];
  return {
    ...statFile([
      { user: total, idle: 900 },
      { user: other, idle: 900 + total - other },
    ]),
    ...processFiles([
      { pid: 7, parent: 1, utime: 50, cutime: childEnded ? total : 0 },
      ...(childEnded ? [] : [{ pid: 8, parent: 7, utime: total }]),
    ]),
  };
};
for (const [others, busy] of [
  [0.2, false],
  [0.3, true],
] as const)
  t.test(
    `a watch of 5 s in which others took ${others} of 2 cores and the own child ended: busy ${busy}`,
    async (t) => {
      const root = await layMachine(t, amdGuest, moment(0, others, false));
      const { clock, pause } = createSteppedTime();
      const limits = { coolWaitMs: 0, quietWaitMs: 0, maxOtherShare: 0.1 };
      const machine = await openMachine({ clock, pause, limits, root, pid: 7, emulated: false });
      const watch = await machine.watch();
      await layFiles(root, moment(5000, others, true));
      await rm(join(root, 'proc/8'), { recursive: true });
      t.same(await watch.end(), { throttled: null, otherCores: others, busy });
    },
  );

t.test("a process that is named as own is not among the others, though it is nobody's child", async (t) => {
  const at = (ms: number): KernelFiles => ({
    ...statFile([{ user: ms / 10, idle: 900 }]),
    ...processFiles([
      { pid: 7, parent: 1, utime: 50 },
      { pid: 9, parent: 1, utime: ms / 10 },
    ]),
  });
  const root = await layMachine(t, at(0));
  const { clock, pause } = createSteppedTime();
  const limits = { coolWaitMs: 0, quietWaitMs: 0, maxOtherShare: 0.1 };
  const machine = await openMachine({
    ...{ clock, pause, limits, root, pid: 7, emulated: false },
    ownPids: () => [9],
  });
  const watch = await machine.watch();
  await layFiles(root, at(5000));
  t.match(await watch.end(), { otherCores: 0, busy: false });
});

const burn = 'for (;;);';

/** Processor time in ticks that `pids` have at least beside this process's own tree, which goes on meanwhile. */
const ticksBeside = (pids: readonly number[]): number => {
  const all = readProcessorTime('/', process.pid, pids);
  const alone = readProcessorTime('/', process.pid);
  return (all?.ownTicks ?? 0) - (alone?.ownTicks ?? 0);
};

t.test(
  'on this machine: a child that works is own, while it lives and when it has ended',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const before = readProcessorTime('/', process.pid);
    t.ok(before);
    const child = spawn(process.execPath, ['-e', burn], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    const ownSince = (): number =>
      (readProcessorTime('/', process.pid)?.ownTicks ?? 0) - (before?.ownTicks ?? 0);
    const ticksOfChild = (): number => readProcessorTime('/', child.pid ?? 0)?.ownTicks ?? 0;
    while (ticksOfChild() < 30) await new Promise(setImmediate);
    const atLeast = ticksOfChild();
    t.ok(ownSince() >= atLeast);
    child.kill('SIGKILL');
    await ended;
    t.ok(ownSince() >= atLeast, 'it was waited for');
  },
);

t.test(
  "on this machine: a process of somebody else's is not own, unless it is named",
  { skip: process.platform !== 'linux' },
  async (t) => {
    // Its parent ends at once, so it is nobody's child here.
    const script = `const { spawn } = require('node:child_process');
    const child = spawn(process.execPath, ['-e', ${JSON.stringify(burn)}], { detached: true, stdio: 'ignore' });
    console.log(child.pid); child.unref();`;
    const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    for await (const chunk of parent.stdout) said += String(chunk);
    const pid = Number(said);
    t.teardown(() => process.kill(pid, 'SIGKILL'));
    while (ticksBeside([pid]) < 10) await new Promise(setImmediate);
    t.ok(ticksBeside([pid]) >= 10);
  },
);

t.test('on this machine: gates and a watch answer with facts or null', async (t) => {
  const limits = { coolWaitMs: 0, quietWaitMs: 1, maxOtherShare: 0.1 };
  const machine = await openMachine({ clock: systemClock, limits });
  const cores = readProcessorTime('/', process.pid)?.cores ?? 0;
  const watch = await machine.watch();
  const quiet = await machine.waitUntilQuiet();
  const report = await watch.end();
  for (const otherCores of [quiet.otherCores, report.otherCores])
    t.ok(otherCores === null || (otherCores >= 0 && otherCores <= cores), `${otherCores}`);
  t.equal(quiet.busy, quiet.otherCores !== null && quiet.otherCores > 0.1 * cores);
  t.ok(report.throttled === null || typeof report.throttled === 'boolean');
  const { temperatureC, onMains, governor } = await machine.state();
  t.ok(temperatureC === null || (temperatureC > -40 && temperatureC < 130));
  t.ok(onMains === null || typeof onMains === 'boolean');
  t.ok(governor === null || governor.length > 0);
  t.equal(typeof (await machine.waitUntilCool()).hot, 'boolean');
  const cancel = new AbortController();
  cancel.abort(new Error('enough'));
  await t.rejects(machine.waitUntilQuiet(cancel.signal), new Error('enough'));
});
