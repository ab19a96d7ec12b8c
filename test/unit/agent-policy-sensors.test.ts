import { createSystemSensors, defaultRouteLink, meteredOf } from '@fleetlora/agent/policy';
import t from 'tap';

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
