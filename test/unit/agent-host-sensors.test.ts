import { openMachine, readOnMains, readThermalZones } from '@fleetlora/agent/host';
import t from 'tap';
import { createManualClock } from '../lib/manual-clock.js';
import { type KernelFiles, layMachine, recordedMachines } from '../lib/recorded-machines.js';

const limits = { coolWaitMs: 0, quietWaitMs: 0, maxOtherShare: 0.1 };
const openRecorded = (root: string) =>
  openMachine({ clock: createManualClock(), limits, root, pid: 1, emulated: false });

for (const [name, wanted] of [
  ['raspberryPi5', { temperatureC: 48.4, onMains: null, governor: 'ondemand' }],
  ['intelLaptop', { temperatureC: 49, onMains: false, governor: 'powersave' }],
  ['amdGuest', { temperatureC: null, onMains: null, governor: null }],
  ['androidBoard', { temperatureC: 61.2, onMains: true, governor: 'performance,schedutil' }],
] as const)
  t.test(`state of a ${name}: ${JSON.stringify(wanted)}`, async (t) => {
    const machine = await openRecorded(await layMachine(t, recordedMachines[name]));
    t.same(await machine.state(), wanted);
  });

t.test('a machine without /proc and /sys tells nothing', async (t) => {
  const machine = await openRecorded(await layMachine(t));
  t.same(await machine.state(), { temperatureC: null, onMains: null, governor: null });
  t.same(await machine.waitUntilCool(), { waitedMs: 0, hot: false });
  t.equal(await machine.energyMeter(), null);
  t.same(await (await machine.watch()).end(), { throttled: null, otherCores: null, busy: false });
});

const zone = (index: number, type: string, temp: string): KernelFiles => ({
  [`sys/class/thermal/thermal_zone${index}/type`]: type,
  [`sys/class/thermal/thermal_zone${index}/temp`]: temp,
});

t.test(
  'thermometers: foreign, broken and silent zones are none; the lowest trip that slows counts',
  async (t) => {
    const zonesOf = async (...files: KernelFiles[]) => readThermalZones(await layMachine(t, ...files));
    t.same(await zonesOf(recordedMachines.androidBoard), [
      { name: 'cpu-0-0-usr', celsius: 52.7, slowsFromC: null },
      { name: 'cpu-1-3-usr', celsius: 61.2, slowsFromC: 95 },
      { name: 'skin-therm', celsius: 33.1, slowsFromC: 46 },
      { name: 'soc-thermal', celsius: 50, slowsFromC: null },
    ]);
    t.same(await zonesOf(recordedMachines.intelLaptop), [
      { name: 'TCPU', celsius: 47.1, slowsFromC: 97.05 },
      { name: 'x86_pkg_temp', celsius: 49, slowsFromC: null },
    ]);
    t.same(
      await zonesOf(
        zone(0, 'cpu-thermal', '48312'),
        zone(1, 'INT3400 Thermal', '120000'),
        zone(2, 'pmic', '130000'),
        zone(3, 'npu', '-40000'),
        zone(4, 'gpu', 'N/A'),
        { 'sys/class/thermal/thermal_zone5/type': 'off' },
        { 'sys/class/hwmon/hwmon0/name': 'k10temp', 'sys/class/hwmon/hwmon0/temp1_input': '80000' },
      ),
      [{ name: 'cpu-thermal', celsius: 48.3, slowsFromC: null }],
    );
  },
);

t.test('without a zone the processor chip is asked', async (t) => {
  const hwmon = 'sys/class/hwmon';
  const root = await layMachine(t, {
    [`${hwmon}/hwmon0/name`]: 'nvme',
    [`${hwmon}/hwmon0/temp1_input`]: '70000',
    [`${hwmon}/hwmon1/name`]: 'k10temp',
    [`${hwmon}/hwmon1/temp1_input`]: '45125',
    [`${hwmon}/hwmon1/temp3_input`]: '47000',
    [`${hwmon}/hwmon1/temp1_label`]: 'Tctl',
  });
  t.equal((await (await openRecorded(root)).state()).temperatureC, 47);
});

const supplies = {
  plugged: { 'AC/type': 'Mains', 'AC/online': '1' },
  unplugged: { 'AC/type': 'Mains', 'AC/online': '0' },
  discharging: { 'BAT0/type': 'Battery', 'BAT0/status': 'Discharging' },
  charging: { 'BAT0/type': 'Battery', 'BAT0/status': 'Charging' },
  full: { 'BAT0/type': 'Battery', 'BAT0/status': 'Full' },
  unknown: { 'BAT0/type': 'Battery', 'BAT0/status': 'Unknown' },
  usbFeeds: { 'ucsi/type': 'USB', 'ucsi/online': '1' },
  usbIdle: { 'ucsi/type': 'USB', 'ucsi/online': '0' },
  mouse: { 'hid/type': 'Battery', 'hid/status': 'Discharging', 'hid/scope': 'Device' },
  upsRuns: { 'ups/type': 'UPS', 'ups/status': 'Discharging' },
};
for (const [names, wanted] of [
  [[], null],
  [['plugged', 'full'], true],
  [['plugged', 'discharging'], true],
  [['unplugged', 'discharging'], false],
  [['unplugged', 'unknown'], false],
  [['discharging'], false],
  [['charging'], true],
  [['unknown'], null],
  [['usbFeeds', 'charging'], true],
  [['usbFeeds', 'discharging'], false],
  [['usbIdle', 'discharging'], false],
  [['usbIdle'], null],
  [['mouse'], null],
  [['mouse', 'plugged'], true],
  [['upsRuns'], false],
] as const)
  t.test(`power supplies ${names.join(' and ') || 'none'}: on mains ${wanted}`, async (t) => {
    const files = Object.entries(Object.assign({}, ...names.map((name) => supplies[name])) as KernelFiles);
    const root = await layMachine(
      t,
      Object.fromEntries(files.map(([path, text]) => [`sys/class/power_supply/${path}`, text])),
    );
    t.equal(await readOnMains(root), wanted);
  });
