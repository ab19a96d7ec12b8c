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

async function openMeter(t: Test, ...files: KernelFiles[]) {
  const root = await layMachine(t, ...files);
  const { clock, pause, step } = createSteppedTime();
  const limits = { coolWaitMs: 0, quietWaitMs: 0, maxOtherShare: 0.1 };
  const machine = await openMachine({ clock, pause, limits, root, pid: 1, emulated: false });
  return { root, clock, step, meter: await machine.energyMeter() };
}

/** Without counters, as for anybody but root. */
const battery = Object.fromEntries(
  Object.entries(intelLaptop).filter(([path]) => !path.startsWith('sys/class/powercap')),
);
const rapl = (microjoules: number, zone = 'intel-rapl:0'): KernelFiles => ({
  [`sys/class/powercap/${zone}/energy_uj`]: String(microjoules),
});
const secondPackage = {
  'sys/class/powercap/intel-rapl:2/name': 'package-1',
  'sys/class/powercap/intel-rapl:2/energy_uj': '5000000',
  'sys/class/powercap/intel-rapl:2/max_energy_range_uj': '65532610987',
};
const bat0 = (values: Readonly<Record<string, string>>): KernelFiles =>
  Object.fromEntries(
    Object.entries(values).map(([file, text]) => [`sys/class/power_supply/BAT0/${file}`, text]),
  );
const ina3221 = (rails: readonly (readonly [string, number, number])[]): KernelFiles => ({
  'sys/class/hwmon/hwmon4/name': 'ina3221',
  ...Object.assign(
    {},
    ...rails.map(([label, millivolts, milliamperes], index) => ({
      [`sys/class/hwmon/hwmon4/in${index + 1}_label`]: label,
      [`sys/class/hwmon/hwmon4/in${index + 1}_input`]: String(millivolts),
      [`sys/class/hwmon/hwmon4/curr${index + 1}_input`]: String(milliamperes),
    })),
  ),
});
const jetson = [
  ['VDD_IN', 5000, 1200],
  ['VDD_CPU_GPU_CV', 5000, 500],
  ['VDD_SOC', 5000, 300],
] as const;

const sources: readonly (readonly [string, KernelFiles, string | null])[] = [
  ['raspberryPi5', raspberryPi5, null],
  ['amdGuest', amdGuest, null],
  ['intelLaptop, RAPL before the battery', intelLaptop, 'rapl'],
  ['a laptop whose counters only root may read', battery, 'battery'],
  [
    'the same on mains',
    { ...battery, 'sys/class/power_supply/AC/online': '1', ...bat0({ status: 'Charging' }) },
    null,
  ],
  ['the same whose battery is full but fed', { ...battery, ...bat0({ status: 'Full' }) }, null],
  ['the same whose gauge says 0 W', { ...battery, ...bat0({ power_now: '0' }) }, null],
  [
    'two packages of which one cannot be read',
    {
      ...amdGuest,
      ...rapl(1),
      'sys/class/powercap/intel-rapl:0/name': 'package-0',
      'sys/class/powercap/intel-rapl:0/max_energy_range_uj': '65532610987',
      'sys/class/powercap/intel-rapl:1/name': 'package-1',
    },
    null,
  ],
  ['androidBoard: a monitor on its supply', androidBoard, 'ina'],
  ['a Jetson: three rails of which one is the input', ina3221(jetson), 'ina'],
  [
    'three rails of which none is named as the input',
    ina3221(jetson.map(([, ...values]) => ['RAIL', ...values])),
    null,
  ],
  ['a monitor of a part of the board alone', ina3221([['VDD_SOC', 5000, 300]]), null],
  ['a monitor without a label', ina3221([['', 5000, 300]]), 'ina'],
  [
    'two monitors without labels',
    ina3221([
      ['', 5000, 300],
      ['', 5000, 900],
    ]),
    null,
  ],
  [
    'two inputs',
    ina3221([
      ['VDD_IN', 5000, 300],
      ['VDD_IN', 5000, 900],
    ]),
    null,
  ],
  ['a monitor that is not wired', ina3221([['VDD_IN', 0, 0]]), null],
];
for (const [name, files, source] of sources)
  t.test(`energy of ${name}: ${source}`, async (t) => {
    t.equal((await openMeter(t, files)).meter?.source ?? null, source);
  });

t.test('RAPL: 12 J and 3 J of two packages in 4 s, of which one counter ran over', async (t) => {
  const { root, clock, meter } = await openMeter(t, intelLaptop, secondPackage);
  const run = await meter?.start();
  clock.advance(4000);
  // The range is 262143328850: from 262143000000 it is 328850 to the end, and 11671150 behind it.
  await layFiles(root, { ...rapl(11_671_150), ...rapl(8_000_000, 'intel-rapl:2') });
  t.same(await run?.stop(), { joules: 15, seconds: 4 });
});

t.test('RAPL: a counter that runs over twice in a long run is followed', async (t) => {
  const { root, step, meter } = await openMeter(t, intelLaptop);
  const run = await meter?.start();
  // Each look sees the counter pass its end once: 100 µJ further round each time.
  await layFiles(root, rapl(262_143_000_000 - 100));
  await step();
  await layFiles(root, rapl(262_143_000_000 - 200));
  const found = await run?.stop();
  t.same(found, { joules: (2 * (262_143_328_850 - 100)) / 1e6, seconds: 20 });
});

t.test('RAPL: counters that do not move, or fall silent, tell nothing', async (t) => {
  const still = await openMeter(t, intelLaptop);
  const run = await still.meter?.start();
  still.clock.advance(4000);
  t.equal(await run?.stop(), null);
  const silent = await openMeter(t, intelLaptop);
  const other = await silent.meter?.start();
  silent.clock.advance(4000);
  await layFiles(silent.root, { 'sys/class/powercap/intel-rapl:0/energy_uj': '' });
  t.equal(await other?.stop(), null);
});

t.test('battery: 6 W rising to 8 W and 10 W, each over 1 s, are 7 + 9 J', async (t) => {
  const { root, step, clock, meter } = await openMeter(t, battery, bat0({ power_now: '6000000' }));
  const run = await meter?.start();
  await layFiles(root, bat0({ power_now: '8000000' }));
  await step();
  await layFiles(root, bat0({ power_now: '10000000' }));
  clock.advance(1000);
  t.same(await run?.stop(), { joules: 16, seconds: 2 });
});

t.test('battery: a gauge of current (negative) and voltage; 2 A at 3.5 V, then 3 A at 3.5 V', async (t) => {
  const android = {
    'sys/class/power_supply/battery/type': 'Battery',
    'sys/class/power_supply/battery/status': 'Discharging',
    'sys/class/power_supply/battery/current_now': '-2000000',
    'sys/class/power_supply/battery/voltage_now': '3500000',
  };
  const { root, clock, meter } = await openMeter(t, android);
  const run = await meter?.start();
  await layFiles(root, { 'sys/class/power_supply/battery/current_now': '-3000000' });
  clock.advance(2000);
  t.same(await run?.stop(), { joules: 17.5, seconds: 2 });
});

t.test(
  'battery: a gauge that never moved, and one that was plugged in meanwhile, tell nothing',
  async (t) => {
    const still = await openMeter(t, battery);
    const run = await still.meter?.start();
    await still.step();
    t.equal(await run?.stop(), null);
    const plugged = await openMeter(t, battery);
    const other = await plugged.meter?.start();
    await layFiles(plugged.root, { 'sys/class/power_supply/AC/online': '1', ...bat0({ power_now: '1' }) });
    await plugged.step();
    await layFiles(plugged.root, { 'sys/class/power_supply/AC/online': '0' });
    t.equal(await other?.stop(), null);
  },
);

t.test('INA: 3.6 W for 200 ms and 4.4 W for 300 ms, by the trapezoid rule', async (t) => {
  const { root, step, clock, meter } = await openMeter(t, androidBoard);
  const run = await meter?.start();
  await layFiles(root, { 'sys/class/hwmon/hwmon1/power1_input': '4400000' });
  await step();
  clock.advance(300);
  const found = await run?.stop();
  t.equal(found?.seconds, 0.5);
  t.equal(found?.joules.toFixed(9), (4 * 0.2 + 4.4 * 0.3).toFixed(9));
});

t.test('INA: of a Jetson, the input rail alone: 5 V with 1.2 A over 1 s are 6 J', async (t) => {
  const { clock, meter } = await openMeter(t, ina3221(jetson));
  const run = await meter?.start();
  clock.advance(1000);
  t.same(await run?.stop(), { joules: 6, seconds: 1 });
});
