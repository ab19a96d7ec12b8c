import { join } from 'node:path';
import { type LineSource, openStore, type Store, summarizeRows } from '@fleetlora/coordinator/store';
import type { Test } from 'tap';
import { coded } from '../lib/coded.js';
import { temporaryFolder } from '../lib/running-coordinator.js';
import { testOnBothEngines } from '../lib/store-engines.js';
import { testFacts } from '../lib/test-device.js';

const device = (number: number) => ({
  id: `dev_${String(number).padStart(4, '0')}`,
  name: `näme ${number}`,
  deviceClass: 'c',
  publicKey: `key ${number}`,
  facts: { ...testFacts, cpuModel: `CPU "${number}"\n😀` },
  enrolledAtMs: 2 ** 41 + number,
});

async function addDevices(store: Store, from: number, count: number): Promise<void> {
  await store.identity.transact(async ({ devices }) => {
    for (let i = from; i < from + count; i++) await devices.insertEnrolled(device(i));
  });
}

/** Rows given as objects, in place of those of a store. */
const source = (rows: Record<string, readonly object[]>): LineSource =>
  async function* (table) {
    const lines = rows[table]?.map((row) => JSON.stringify(row));
    if (lines) yield lines;
  };

async function openEmbedded(t: Test): Promise<Store> {
  const store = await openStore(join(await temporaryFolder(t), 'other.db'));
  t.teardown(() => store.close());
  return store;
}

testOnBothEngines((t, { fresh }) => {
  t.test('120 rows there and back by way of SQLite: equal counts and digests', async (t) => {
    const first = await fresh(t);
    await addDevices(first, 0, 120);
    await first.fleet.devices.update('dev_0001', { labels: ['a'], online: true, session: 2 ** 40 });
    await first.identity.settings.insert('k', '1');
    const wanted = await summarizeRows(first.rows);
    t.match(
      wanted.filter(({ rows }) => rows > 0).map(({ table, rows }) => `${table} ${rows}`),
      ['settings 1', 'devices 120'],
    );
    const second = await openEmbedded(t);
    await first.rows.snapshot((linesOf) => second.rows.load(linesOf));
    t.same(await summarizeRows(second.rows), wanted);
    const third = await fresh(t);
    await second.rows.snapshot((linesOf) => third.rows.load(linesOf));
    t.same(await summarizeRows(third.rows), wanted);
    t.same(await third.identity.devices.findEnrolled('dev_0007'), device(7));
    await third.fleet.devices.update('dev_0007', { session: 1 });
    t.not((await summarizeRows(third.rows))[2]?.digest, wanted[2]?.digest, 'one changed value shows');
  });

  t.test('a snapshot sees one moment while 60 rows are written beside it', async (t) => {
    const store = await fresh(t);
    await addDevices(store, 100, 60);
    await store.rows.snapshot(async (linesOf) => {
      const seen: string[] = [];
      for await (const lines of linesOf('devices')) {
        if (seen.length === 0) {
          await addDevices(store, 200, 60);
          await store.fleet.devices.update('dev_0159', { session: 5 });
          await store.identity.settings.insert('late', '1');
        }
        seen.push(...lines);
      }
      t.equal(seen.length, 60);
      t.notMatch(seen.at(-1), 'session', 'the last row is as it was');
      for await (const _ of linesOf('settings')) t.fail('a later table is as it was, too');
    });
    t.equal((await store.fleet.devices.list()).length, 120);
  });

  t.test('only an empty store is filled, and only whole', async (t) => {
    const store = await fresh(t);
    const settings = [
      { key: 'a', value: '1' },
      { key: 'b', value: '2' },
    ];
    const code = { hash: 'h', created_at_ms: 1, expires_at_ms: 2 };
    const refused: [rows: Record<string, readonly object[]>, ...words: string[]][] = [
      [{ settings: [...settings, { key: 'c' }] }, 'row 3 of table settings', 'value is null'],
      [
        { settings, codes: [{ ...code, expires_at_ms: 0.5 }] },
        'row 1 of table codes',
        'expires_at_ms is 0.5',
      ],
      [{ codes: [{ ...code, hash: 7 }] }, 'hash is 7, wanted text'],
      [{ codes: [{ ...code, extra: 1 }] }, '"extra"', 'does not know'],
      [{ codes: [[code]] }, 'is no object'],
    ];
    for (const [rows, ...words] of refused)
      await t.rejects(store.rows.load(source(rows)), coded('BACKUP_INVALID', ...words));
    const broken: LineSource = async function* () {
      yield ['{"key":'];
    };
    await t.rejects(store.rows.load(broken), coded('BACKUP_INVALID', 'row 1 of table settings'));
    t.equal(await store.identity.settings.read('a'), null, 'nothing of them stayed');
    await store.rows.load(source({ settings, codes: [code] }));
    t.match(await store.identity.codes.find('h'), { deviceId: null }, 'a column that is not named is null');
    await t.rejects(store.rows.load(source({})), coded('STATE_CONFLICT', 'settings', 'empty'));
  });
});
