import { openStore, type Store, type StoreState } from '@fleetlora/coordinator/store';
import { findOutageIn } from '@fleetlora/shared/errors';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { runCutProxy } from '../lib/cut-proxy.js';
import { type PostgresServer, runPostgres } from '../lib/postgres.js';
import { testFacts } from '../lib/test-device.js';

/** A store with one device, whose session number counts transactions. */
async function openCounter(t: Test, url: string): Promise<{ store: Store; addOne: () => Promise<void> }> {
  const store = await openStore(url);
  t.teardown(() => store.close());
  const device = { id: 'dev_01', name: 'n', deviceClass: 'c', publicKey: 'k', facts: testFacts };
  await store.identity.devices.insertEnrolled({ ...device, enrolledAtMs: 0 });
  await store.fleet.devices.update('dev_01', { session: 0 });
  const addOne = () =>
    store.fleet.transact(async ({ devices }) => {
      const found = await devices.find('dev_01');
      await devices.update('dev_01', { session: (found?.session ?? 0) + 1 });
    });
  return { store, addOne };
}
const countOf = async (store: Store): Promise<number | null | undefined> =>
  (await store.fleet.devices.find('dev_01'))?.session;

/** Resolves when the store is (un)available. */
function reaches(store: Store, available: boolean): Promise<StoreState> {
  return new Promise((resolve) => {
    const look = (state: StoreState): void => {
      if (state.available === available) {
        stop();
        resolve(state);
      }
    };
    const stop = store.onState(look);
    look(store.state());
  });
}

/** The same database by way of another port. */
function through(port: number, url: string): string {
  const other = new URL(url);
  other.port = String(port);
  return other.href;
}

t.test('PostgreSQL', async (t) => {
  const server = await runPostgres(t);
  if (server === null) return;
  let databases = 0;
  const database = () => server.createDatabase(`outage_${++databases}`);

  for (const how of ['stop', 'kill'] as const)
    t.test(`${how} of the server: what was asked waits and is done once`, async (t) => {
      const { store, addOne } = await openCounter(t, await database());
      t.same(store.state(), { available: true });
      const before = Promise.all(Array.from({ length: 100 }, addOne));
      await server[how]();
      t.match(await Promise.race([reaches(store, false), before.then(() => 'all were done before')]), {
        available: false,
        code: 'STORE_UNAVAILABLE',
      });
      const during = Promise.all(Array.from({ length: 20 }, addOne));
      const read = store.identity.settings.read('nothing');
      await server.start();
      await Promise.all([before, during]);
      t.equal(await read, null);
      t.equal(await countOf(store), 120);
      t.same(store.state(), { available: true });
    });

  for (const when of ['before', 'after'] as const)
    t.test(`connection cut ${when} the server has committed: applied once`, async (t) => {
      const url = await database();
      const proxy = await runCutProxy(t, { host: '127.0.0.1', port: Number(new URL(url).port) });
      const { store, addOne } = await openCounter(t, through(proxy.port, url));
      await addOne();
      const cut = proxy.cutAt('COMMIT', when);
      let runs = 0;
      const write = store.fleet.transact(async ({ devices }) => {
        runs++;
        await devices.update('dev_01', { session: 100 });
        return 'result';
      });
      await cut;
      t.equal(await write, 'result');
      t.equal(runs, when === 'before' ? 2 : 1, 'run again only if it was not applied');
      await addOne();
      t.equal(await countOf(store), 101);
    });

  t.test('an error of the work itself is no outage and rolls back', async (t) => {
    const { store, addOne } = await openCounter(t, await database());
    const half = store.fleet.transact(async ({ devices }) => {
      await devices.update('dev_01', { session: 7 });
      throw new Error('changed my mind');
    });
    await t.rejects(half, { message: 'changed my mind' });
    await t.rejects(store.identity.codes.insert({ hash: null as never } as never), 'of the database as well');
    await addOne();
    t.equal(await countOf(store), 1);
    t.same(store.state(), { available: true });
  });

  t.test('a second coordinator is refused; the lock ends with the first', async (t) => {
    const url = await database();
    const { store } = await openCounter(t, url);
    const { password, port } = new URL(url);
    const refused = openStore(url);
    await t.rejects(
      refused,
      coded('FOLDER_IN_USE', url.split('/').at(-1) ?? '', `127.0.0.1:${port}`, `process ${process.pid}`),
    );
    await refused.catch((error: Error) => t.notMatch(error.message, password));
    await store.close();
    const next = await openStore(url);
    t.equal(await countOf(next), 0);
    await next.close();
  });

  t.test('our own session that outlived its connection is ended, and writing goes on', async (t) => {
    const url = await database();
    const proxy = await runCutProxy(t, { host: '127.0.0.1', port: Number(new URL(url).port) });
    const { store, addOne } = await openCounter(t, through(proxy.port, url));
    proxy.abandonServer();
    await addOne();
    t.equal(await countOf(store), 1);
  });

  t.test('another coordinator took the database during an outage: nothing is written any more', async (t) => {
    const url = await database();
    const lost: Error[] = [];
    const store = await openStore(url, { onLost: (error) => lost.push(error) });
    t.teardown(() => store.close());
    await store.identity.settings.insert('a', '1');
    const [name = ''] = url.split('/').slice(-1);
    // As when the server cut us off and another one was faster: it waits for the lock already.
    const ofOurs = `locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = '${name}')`;
    const other = server.query(
      `SELECT pg_advisory_lock((classid::bigint << 32) | objid::bigint) FROM pg_locks WHERE ${ofOurs};
       SELECT pg_sleep(3600)`,
      name,
    );
    const terminate = (granted: boolean) =>
      server.query(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE ${ofOurs} AND granted = ${granted}`);
    while ((await server.query(`SELECT pid FROM pg_locks WHERE ${ofOurs} AND NOT granted`)).trim() === '')
      await new Promise((resolve) => setTimeout(resolve, 20));
    await terminate(true);
    await t.rejects(store.identity.settings.insert('a', '2'), coded('FOLDER_IN_USE', name));
    await t.rejects(store.identity.settings.insert('a', '3'), coded('FOLDER_IN_USE', name));
    t.equal(lost.length, 1, 'told once');
    t.equal((await server.query(`SELECT value FROM settings WHERE key = 'a'`, name)).trim(), '1');
    await Promise.all([t.rejects(other), terminate(true)]);
  });

  t.test('closing does not wait for a server that is away', async (t) => {
    const { store, addOne } = await openCounter(t, await database());
    await server.stop();
    const waiting = addOne();
    const unavailable = t.rejects(waiting, coded('STORE_UNAVAILABLE'));
    await reaches(store, false);
    await store.close();
    await unavailable;
    await server.start();
  });

  for (const asked of ['nothing', 'a write, another behind it, and a read'] as const)
    t.test(`closing does not wait for a server that hangs and was asked ${asked}`, async (t) => {
      const url = await database();
      const proxy = await runCutProxy(t, { host: '127.0.0.1', port: Number(new URL(url).port) });
      const { store, addOne } = await openCounter(t, through(proxy.port, url));
      t.equal(await countOf(store), 0);
      proxy.freeze();
      const unanswered: Promise<unknown>[] = asked === 'nothing' ? [] : [addOne(), addOne(), countOf(store)];
      const refused = unanswered.map((question) =>
        question.catch((error: unknown) => t.equal(findOutageIn(error)?.code, 'STORE_UNAVAILABLE')),
      );
      // Its own timeout for an answer is 60 s: the test's would strike before.
      await store.close();
      t.same(
        await Promise.all(refused),
        unanswered.map(() => true),
      );
    });

  t.test('a start that is asked to stop does not wait for a server that is away', async (t) => {
    const stopping = new AbortController();
    const opening = openStore('postgres://a:b@127.0.0.1:1/c', { signal: stopping.signal });
    stopping.abort();
    await t.rejects(opening, coded('STORE_UNAVAILABLE', '127.0.0.1:1'));
  });

  t.test('a store for a command does not wait: an outage is thrown', async (t) => {
    const store = await openStore(await database(), { onOutage: 'fail' });
    t.teardown(() => store.close());
    await server.stop();
    await t.rejects(store.identity.settings.insert('a', '1'), coded('STORE_UNAVAILABLE'));
    await server.start();
    await store.identity.settings.insert('a', '2');
    t.equal(await store.identity.settings.read('a'), '2');
  });

  t.test('text that PostgreSQL cannot hold is stored with U+FFFD in its place', async (t) => {
    const { store } = await openCounter(t, await database());
    await store.fleet.devices.update('dev_01', {
      serveUrl: 'a\0b\ud800',
      facts: { ...testFacts, cpuModel: 'x\0y\udc00 \\u0000 😀' },
    });
    t.match(await store.fleet.devices.find('dev_01'), {
      serveUrl: 'a\ufffdb\ufffd',
      facts: { cpuModel: 'x\ufffdy\ufffd \\u0000 😀' },
    });
  });

  await t.test('opening', (t) => testOpening(t, server));
});

async function testOpening(t: Test, server: PostgresServer): Promise<void> {
  const url = new URL(server.url);
  const change = (changes: Partial<URL>): string => Object.assign(new URL(url), changes).href;
  const rejectsWithoutPassword = async (place: string, pattern: ReturnType<typeof coded>): Promise<void> => {
    const opening = openStore(place, { openWithinMs: 600 });
    await t.rejects(opening, pattern);
    await opening.catch((error: Error) => t.notMatch(error.message, 'secret', 'the password is not told'));
  };
  await rejectsWithoutPassword(change({ password: 'secret' }), coded('BAD_USAGE', 'password authentication'));
  await rejectsWithoutPassword(change({ pathname: '/none' }), coded('BAD_USAGE', '"none" does not exist'));
  await rejectsWithoutPassword('postgres://a:secret@[::1', coded('BAD_USAGE', 'postgres://USER:PASSWORD@'));
  const proxyless = change({ password: 'secret', port: '1' });
  await rejectsWithoutPassword(proxyless, coded('STORE_UNAVAILABLE', '127.0.0.1:1', '0.6 s', 'ECONNREFUSED'));

  await server.stop();
  const opening = openStore(server.url);
  await server.start();
  const store = await opening;
  t.equal(await store.identity.settings.read('x'), null, 'a server that comes within the time is waited for');
  await store.close();
}
