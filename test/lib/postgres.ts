import { type PostgresServer, startPostgres } from '@fleetlora/bench/lib/postgres-server';
import type { Test } from 'tap';

export type { PostgresServer };

/** A real PostgreSQL server for the tests inside `t`, gone with it; null, and `t` skipped, where none can be had. */
export async function runPostgres(t: Test): Promise<PostgresServer | null> {
  const server = await startPostgres();
  if (typeof server === 'string') {
    t.comment(`skipped: ${server}`);
    t.plan(0, server);
    return null;
  }
  t.teardown(() => server.remove());
  return server;
}
