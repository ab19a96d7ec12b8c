import { join } from 'node:path';
import { openStore, type Store } from '@fleetlora/coordinator/store';
import t, { type Test } from 'tap';
import { runPostgres } from './postgres.js';
import { temporaryFolder } from './running-coordinator.js';

/** One engine to test a store on. */
export interface StoreEngine {
  readonly name: 'sqlite' | 'postgres';
  /** A new place for a store: a file, or an empty database of a real server. */
  place(t: Test): Promise<string>;
  /** A new, empty store, closed after the test. */
  fresh(t: Test): Promise<Store>;
}

/** Runs the same tests on SQLite and on PostgreSQL; the latter is skipped where no server can be had. */
export function testOnBothEngines(run: (t: Test, engine: StoreEngine) => Promise<void> | void): void {
  const engine = (name: StoreEngine['name'], place: StoreEngine['place']): StoreEngine => ({
    name,
    place,
    async fresh(t) {
      const store = await openStore(await place(t));
      t.teardown(() => store.close());
      return store;
    },
  });
  t.test('sqlite', async (t) => {
    await run(
      t,
      engine('sqlite', async (t) => join(await temporaryFolder(t), 'store.db')),
    );
  });
  t.test('postgres', async (t) => {
    const server = await runPostgres(t);
    if (server === null) return;
    let databases = 0;
    await run(
      t,
      engine('postgres', () => server.createDatabase(`store_${++databases}`)),
    );
  });
}
