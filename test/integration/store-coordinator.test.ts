import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Health } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { runPostgres } from '../lib/postgres.js';
import { spawnCli, waitForOutput } from '../lib/run-cli.js';
import { runCoordinator, startQuietCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

t.setTimeout(120_000);

/** Asks until `isDone`; each question is answered by the running coordinator. */
async function until<T>(ask: () => Promise<T>, isDone: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isDone(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

t.test('a coordinator on PostgreSQL', async (t) => {
  const server = await runPostgres(t);
  if (server === null) return;

  t.test('while the server is away requests get 503 at once, health tells, then it goes on', async (t) => {
    const databaseUrl = await server.createDatabase('outage');
    const coordinator = await runCoordinator(t, { config: { databaseUrl } });
    const health = () => coordinator.call<Health>('GET /v1/health');
    t.match(await health(), { store: 'available' });
    await server.stop();
    const waiting = coordinator.request('GET /v1/devices');
    t.match(
      { status: (await waiting).status, body: await (await waiting).json() },
      { status: 503, body: { code: 'STORE_UNAVAILABLE' } },
      'a request that met the outage',
    );
    t.match(await health(), { store: 'unavailable', devicesOnline: 0 });
    const refused = await coordinator.request('POST /v1/codes', { body: {} });
    t.equal(refused.status, 503, 'a request that came later');
    const docs = await coordinator.request('GET /docs/json', { token: null });
    t.equal(docs.status, 200, 'what needs no store is served');
    t.equal((await coordinator.request('GET /v1/devices', { token: null })).status, 401);
    await server.start();
    await until(health, ({ store }) => store === 'available');
    t.equal((await coordinator.request('POST /v1/codes', { body: {} })).status, 201);
    const said = coordinator.log.filter(({ msg }) => msg.startsWith('the store is '));
    t.same(
      said.map(({ msg }) => msg),
      ['the store is unavailable; waiting for it', 'the store is available again'],
      'each is said once',
    );
    const url = new URL(databaseUrl);
    t.notMatch(JSON.stringify(coordinator.log), url.password, 'the password is not logged');
  });

  t.test('rows and folder belong together', async (t) => {
    const [first, other] = [await server.createDatabase('first'), await server.createDatabase('other')];
    const folder = await temporaryFolder(t);
    const running = await startQuietCoordinator(folder, first);
    await running.stop();
    t.notOk(existsSync(join(folder, 'coordinator.db')));
    await t.rejects(
      startQuietCoordinator(folder, null),
      coded('STATE_CONFLICT', 'DATABASE_URL is not set', 'database first'),
    );
    await t.rejects(
      startQuietCoordinator(folder, other),
      coded('STATE_CONFLICT', 'database other', 'empty', 'database first'),
    );
    const again = await startQuietCoordinator(folder, first);
    t.equal(again.adminToken, null, 'nothing was made anew');
    await again.stop();

    const embedded = await temporaryFolder(t);
    await (await startQuietCoordinator(embedded, null)).stop();
    await t.rejects(
      startQuietCoordinator(embedded, other),
      coded('STATE_CONFLICT', 'coordinator.db', 'fleetlora store move'),
    );
    await t.rejects(startQuietCoordinator(embedded, 'mysql://a:secret@b/c'), coded('BAD_USAGE', '"mysql:"'));
    await (await startQuietCoordinator(embedded, null)).stop();
  });

  t.test('a second one is refused, kill -9 frees the database, one that lost it ends', async (t) => {
    const url = await server.createDatabase('processes');
    const folders = [await temporaryFolder(t), await temporaryFolder(t)];
    const up = (folder: string | undefined) => {
      const options = ['--data', folder ?? '', '--port', '0', '--mqtt-port', '0', '--log', 'silent'];
      const child = spawnCli('fleetlora', ['up', ...options], { DATABASE_URL: url });
      t.teardown(() => child.kill('SIGKILL'));
      return { child, ready: waitForOutput(child, /^coordinator {2}http/m) };
    };
    const first = up(folders[0]);
    await first.ready;
    const second = up(folders[1]);
    await t.rejects(second.ready, {
      message: new RegExp(`FOLDER_IN_USE: .*database processes.*process ${first.child.pid}\\)`),
    });
    first.child.kill('SIGKILL');
    await once(first.child, 'close');
    const third = up(folders[0]);
    await third.ready;

    const ended = once(third.child, 'close');
    const complaint = waitForOutput(third.child, /FOLDER_IN_USE: .*/);
    await takeOver(t, url, server.query);
    await complaint;
    t.same(await ended, [1, null]);
  });
});

/** Ends the holder's session and takes its lock with one of psql, as another coordinator would. */
async function takeOver(
  t: Test,
  url: string,
  query: (sql: string, database?: string) => Promise<string>,
): Promise<void> {
  const database = new URL(url).pathname.slice(1);
  // Both in one session: the lock is waited for, which ends when the holder's session has.
  const taking = query(
    `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE locktype = 'advisory' AND a.datname = current_database();
     SELECT pg_advisory_lock(x'666c6565746c6f72'::bigint);
     SELECT pg_sleep(5);`,
    database,
  );
  t.teardown(() => taking);
}
