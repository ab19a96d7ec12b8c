import { openMachine } from '@fleetlora/agent/host';
import t, { type Test } from 'tap';
import {
  amdGuest,
  androidBoard,
  intelLaptop,
  type KernelFiles,
  layFiles,
  layMachine,
  raspberryPi5,
} from '../lib/recorded-machines.js';
import { createSteppedTime } from '../lib/staged-time.js';

async function openWatch(t: Test, ...files: KernelFiles[]) {
  const root = await layMachine(t, ...files);
  const time = createSteppedTime();
  const limits = { coolWaitMs: 0, quietWaitMs: 0, maxOtherShare: 0.1 };
  const { clock, pause } = time;
  const machine = await openMachine({ clock, pause, limits, root, pid: 1, emulated: false });
  let told = 0;
  const watch = await machine.watch({ onThrottled: () => void told++ });
  return { root, step: time.step, told: () => told, end: watch.end };
}

const cpu = 'sys/devices/system/cpu';
const firmware = 'sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled';
const oldFirmware = 'sys/devices/platform/soc/soc:firmware/get_throttled';
const rootFirmware = 'sys/devices/platform/firmware/get_throttled';
const cooling = (device: number, state: string): KernelFiles => ({
  [`sys/class/thermal/cooling_device${device}/cur_state`]: state,
});

const quiet = [
  ['raspberryPi5', raspberryPi5, false],
  ['intelLaptop', intelLaptop, false],
  ['androidBoard', androidBoard, false],
  ['amdGuest', amdGuest, null],
  [
    'a PC whose only sign are the cooling devices of ACPI',
    { 'sys/class/thermal/cooling_device0/type': 'Processor', ...cooling(0, '0') },
    null,
  ],
  [
    'a guest that has what its hypervisor made up',
    { ...intelLaptop, 'proc/cpuinfo': 'flags\t\t: fpu hypervisor' },
    null,
  ],
  ['a board that shows frequencies alone', { [`${cpu}/cpufreq/policy0/scaling_max_freq`]: '1800000' }, null],
  ['a Pi that shows its voltage alone', { ...raspberryPi5, [firmware]: '' }, null],
  ['a Pi that was throttled before, says its sticky bit', { ...raspberryPi5, [firmware]: '50000' }, false],
] as const;
for (const [name, files, wanted] of quiet)
  t.test(`nothing happens on ${name}: throttled is ${wanted}`, async (t) => {
    const watch = await openWatch(t, files);
    await watch.step();
    t.equal((await watch.end()).throttled, wanted);
    t.equal(watch.told(), 0);
  });

const events: readonly (readonly [string, KernelFiles, KernelFiles])[] = [
  [
    'a core counts a thermal event',
    intelLaptop,
    { [`${cpu}/cpu2/thermal_throttle/core_throttle_count`]: '13' },
  ],
  [
    'the package counts a thermal event',
    intelLaptop,
    { [`${cpu}/cpu0/thermal_throttle/package_throttle_count`]: '418' },
  ],
  ['ACPI lowers the processor', intelLaptop, cooling(3, '1')],
  ['powerclamp forces idleness', intelLaptop, cooling(4, '25')],
  ['the kernel caps the big cluster', androidBoard, cooling(1, '2')],
  [
    'a thermal service caps a cluster',
    androidBoard,
    { [`${cpu}/cpufreq/policy4/scaling_max_freq`]: '1804800' },
  ],
  ['the firmware caps (bit 1)', raspberryPi5, { [firmware]: '2' }],
  ['the firmware throttles (bit 2)', raspberryPi5, { [firmware]: '4' }],
  ['the soft limit holds (bit 3)', raspberryPi5, { [firmware]: '80008' }],
  ['throttling was between two looks (bit 18)', raspberryPi5, { [firmware]: '40000' }],
  ['a Pi 4 is throttled', { [oldFirmware]: '0' }, { [oldFirmware]: '20002' }],
  [
    'a Pi whose firmware is a node of the root is throttled',
    { [rootFirmware]: '0' },
    { [rootFirmware]: '4' },
  ],
  ['its voltage falls', raspberryPi5, { 'sys/class/hwmon/hwmon2/in0_lcrit_alarm': '1' }],
  [
    'a guest sees a cap all the same',
    { ...androidBoard, 'proc/cpuinfo': 'flags\t\t: fpu hypervisor' },
    cooling(0, '1'),
  ],
];
for (const [name, files, change] of events) {
  t.test(`${name}: told once, at the next look, and reported`, async (t) => {
    const watch = await openWatch(t, files);
    await watch.step();
    t.equal(watch.told(), 0);
    await layFiles(watch.root, change);
    await watch.step();
    t.equal(watch.told(), 1);
    await watch.step();
    t.equal(watch.told(), 1);
    t.equal((await watch.end()).throttled, true);
  });
  t.test(`${name} after the last look: reported at the end`, async (t) => {
    const watch = await openWatch(t, files);
    await layFiles(watch.root, change);
    t.equal((await watch.end()).throttled, true);
  });
}

t.test('what is over again stays reported', async (t) => {
  const watch = await openWatch(t, androidBoard);
  await layFiles(watch.root, cooling(0, '3'));
  await watch.step();
  await layFiles(watch.root, cooling(0, '0'));
  t.equal((await watch.end()).throttled, true);
});

t.test(
  'under-voltage that the firmware did not act on, fans, screens and settings are no throttling',
  async (t) => {
    const watch = await openWatch(t, raspberryPi5, intelLaptop);
    await layFiles(watch.root, {
      [firmware]: '10001',
      ...cooling(5, '9'),
      ...cooling(6, '7'),
      [`${cpu}/cpufreq/policy0/scaling_max_freq`]: '4400000',
    });
    await watch.step();
    t.equal((await watch.end()).throttled, false);
  },
);

t.test('a watch ends once', async (t) => {
  const watch = await openWatch(t, androidBoard);
  const first = await watch.end();
  await layFiles(watch.root, cooling(0, '3'));
  t.equal(await watch.end(), first);
});
