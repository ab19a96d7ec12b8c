import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createSystemSensors,
  defaultRouteLink,
  meteredOf,
  readOnMains,
  readTemperatureC,
} from '@fleetlora/agent/policy';
import t, { type Test } from 'tap';
import { tempFolder } from '../lib/temp-folder.js';

/** Files by path below a fresh folder, as sysfs has them. */
async function layFiles(t: Test, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await tempFolder(t);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), `${text}\n`);
  }
  return root;
}

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
    const folder = await layFiles(t, Object.assign({}, ...names.map((name) => supplies[name])));
    t.equal(await readOnMains(folder), wanted);
  });

t.test('the temperature is that of the hottest sane zone', async (t) => {
  const root = await layFiles(t, {
    'thermal/thermal_zone0/type': 'cpu-thermal',
    'thermal/thermal_zone0/temp': '48312',
    'thermal/thermal_zone1/type': 'gpu-thermal',
    'thermal/thermal_zone1/temp': '51650',
    'thermal/thermal_zone2/type': 'iwlwifi_1',
    'thermal/thermal_zone2/temp': '66000',
    'thermal/thermal_zone3/type': 'INT3400 Thermal',
    'thermal/thermal_zone3/temp': '120000',
    'thermal/thermal_zone4/type': 'pmic',
    'thermal/thermal_zone4/temp': '130000',
    'thermal/thermal_zone5/type': 'npu',
    'thermal/thermal_zone5/temp': '-274000',
    'thermal/thermal_zone6/type': 'off',
    'thermal/cooling_device0/type': 'fan',
    'thermal/cooling_device0/temp': '99000',
    'hwmon/hwmon0/name': 'k10temp',
    'hwmon/hwmon0/temp1_input': '80000',
  });
  t.equal(await readTemperatureC(root), 51.7);
});

t.test('without a zone the processor chip is asked; without either it is not known', async (t) => {
  const root = await layFiles(t, {
    'hwmon/hwmon0/name': 'nvme',
    'hwmon/hwmon0/temp1_input': '70000',
    'hwmon/hwmon1/name': 'k10temp',
    'hwmon/hwmon1/temp1_input': '45125',
    'hwmon/hwmon1/temp3_input': '47000',
    'hwmon/hwmon1/temp1_label': 'Tctl',
  });
  t.equal(await readTemperatureC(root), 47);
  t.equal(await readTemperatureC(join(root, 'nothing')), null);
});

const routes = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth1\t00000000\t010300C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
`;
t.test('the default route is the one with the smallest metric that is up', async (t) => {
  t.equal(defaultRouteLink(routes), 'eth0');
  t.equal(defaultRouteLink(routes.split('\n')[0] ?? ''), null);
  t.equal(defaultRouteLink(''), null);
});

t.test('a network is metered as NetworkManager says of the default link', async (t) => {
  const text = `GENERAL.DEVICE:wlan0\nGENERAL.METERED:yes (guessed)\n\nGENERAL.DEVICE:eth0\nGENERAL.METERED:no\n
GENERAL.DEVICE:lo\nGENERAL.METERED:unknown\n`;
  t.equal(meteredOf(text, 'wlan0'), true);
  t.equal(meteredOf(text, 'eth0'), false);
  t.equal(meteredOf(text, 'lo'), null);
  t.equal(meteredOf(text, 'ppp0'), null);
  t.equal(meteredOf(text, null), true, 'without a default route any metered one counts');
  t.equal(meteredOf('GENERAL.DEVICE:eth0\nGENERAL.METERED:no (guessed)\n', null), false);
  t.equal(meteredOf('', null), null);
});

t.test('a clock before 2025 was never set', async (t) => {
  const timeAt = (nowMs: number) =>
    createSystemSensors({ nowMs: () => nowMs, monotonicMs: () => 0 }).localTime();
  t.equal(timeAt(Date.UTC(2025, 0, 1) - 1).isSet, false);
  t.equal(timeAt(Date.UTC(2025, 0, 1)).isSet, true);
  const now = new Date(2026, 5, 1, 14, 10, 59);
  t.same(timeAt(now.getTime()), { minuteOfDay: 850, isSet: true });
});

t.test('the sensors of this machine answer with a fact or with null', async (t) => {
  const sensors = createSystemSensors({ nowMs: () => Date.now(), monotonicMs: () => 0 });
  for (const value of [await sensors.onMains(), await sensors.metered()])
    t.ok(value === null || typeof value === 'boolean');
  const temperatureC = await sensors.temperatureC();
  t.ok(temperatureC === null || (temperatureC > -40 && temperatureC < 130));
});
