import type { StoredDevice } from '@fleetlora/coordinator/fleet';
import type { Store } from '@fleetlora/coordinator/store';
import type { Conditions, ScopedPolicy } from '@fleetlora/shared/protocol';
import { testOnBothEngines } from '../lib/store-engines.js';
import { testFacts } from '../lib/test-device.js';

const policyOf = (kind: 'class' | 'label', name: string, updatedAtMs: number): ScopedPolicy => ({
  scope: { kind, name },
  policy: { hours: ['22:00-06:00'], maxTemperatureC: 70.5, quietSeconds: 0 },
  updatedAtMs,
});
const enrol = async ({ identity, fleet }: Store): Promise<StoredDevice | null> => {
  const id = 'dev_00000000000000000000000001';
  const row = { id, name: 'a', deviceClass: 'board', publicKey: 'a', facts: testFacts, enrolledAtMs: 1 };
  await identity.devices.insertEnrolled(row);
  return fleet.devices.find(id);
};

testOnBothEngines((t, engine) => {
  t.test('policies: one for each scope, classes before labels, each by name', async (t) => {
    const { policies } = (await engine.fresh(t)).fleet;
    t.same(await policies.list(), []);
    const [a, b, c] = [policyOf('label', 'a', 1), policyOf('class', 'b', 2), policyOf('class', 'a', 3)];
    for (const policy of [a, b, c]) await policies.set(policy);
    t.same(await policies.list(), [c, b, a]);
    const changed: ScopedPolicy = { scope: b.scope, policy: { mainsPower: true }, updatedAtMs: 2 ** 40 };
    await policies.set(changed);
    t.same(await policies.list(), [c, changed, a], 'replaced, not merged');
    t.equal(await policies.remove(b.scope), true);
    t.equal(await policies.remove(b.scope), false);
    t.equal(await policies.remove({ kind: 'label', name: 'b' }), false, 'another kind is another scope');
    t.same(await policies.list(), [c, a]);
  });

  t.test('policies set in a transaction that fails are not there', async (t) => {
    const { fleet } = await engine.fresh(t);
    const failing = fleet.transact(async ({ policies }) => {
      await policies.set(policyOf('class', 'a', 1));
      t.equal((await policies.list()).length, 1);
      throw new Error('no');
    });
    await t.rejects(failing, { message: 'no' });
    t.same(await fleet.policies.list(), []);
  });

  t.test('labels and conditions of a device', async (t) => {
    const store = await engine.fresh(t);
    const device = await enrol(store);
    t.match(device, { labels: [], conditions: null });
    const { devices } = store.fleet;
    const conditions: Conditions = {
      mayMeasure: false,
      reasons: ['policy of label käfig: above 70 °C'],
      onMains: null,
      temperatureC: 70.1,
      metered: true,
      localTime: '23:59',
    };
    await devices.update(device?.id ?? '', { labels: ['attic', 'office'], conditions });
    t.match(await devices.find(device?.id ?? ''), { labels: ['attic', 'office'], conditions, online: false });
    await devices.update(device?.id ?? '', { online: true });
    t.match(await devices.findByIdOrName('a'), { labels: ['attic', 'office'], conditions }, 'not touched');
    await devices.update(device?.id ?? '', { labels: [], conditions: null });
    t.match((await devices.list())[0], { labels: [], conditions: null, online: true });
  });
});
