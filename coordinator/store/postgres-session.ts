import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@fleetlora/shared/errors';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import type { Executor } from './database.js';
import type { PostgresAddress } from './postgres-address.js';
import { asConnectError, asOutage } from './postgres-errors.js';

/** How the server knows a session: process ids are used again, together with its begin they are not. */
export interface SessionIdentity {
  readonly pid: number;
  readonly startedAt: string;
}

/** The one session that writes. */
export interface WriterSession {
  readonly identity: SessionIdentity;
  /** False once the connection has ended. */
  isOpen(): boolean;
  /** Resolves when the connection has ended. */
  readonly ended: Promise<void>;
  readonly executor: Executor;
  /** Runs statements without parameters; the rows of the last. @throws StoreOutage */
  run(text: string): Promise<Record<string, unknown>[]>;
  /** Cuts the connection without waiting for the server. */
  destroy(): void;
  close(): Promise<void>;
}

/** "fleetlor" as a number: the lock of a coordinator on its database. */
const LOCK_KEY = `0x${Buffer.from('fleetlor').toString('hex')}`;
/** A coordinator that was killed keeps the lock until the server has noticed. */
const LOCK_PATIENCE_MS = 3000;
const LOCK_RETRY_MS = 100;
/** An answer that takes longer than this will not come: the network is gone, or the server hangs. */
const ANSWER_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 2000;

/** What every connection of ours is made with. */
export function connectionConfig({ url }: PostgresAddress): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: `fleetlora, ${hostname()}, process ${process.pid}`.slice(0, 63),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

/** Ends a connection without a word to its server; what it was asked fails. */
export function cutConnection(client: pg.ClientBase): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** A query builder over something that runs queries; the place where PostgreSQL's is cast. */
export function executorOver(query: (...args: never[]) => Promise<unknown>): Executor {
  return drizzle({ client: { query } as unknown as pg.Client }) as unknown as Executor;
}

/**
 * Connects and takes the coordinator's lock, which lasts as long as the session does. All writes go
 * through this session: who has lost the lock cannot write.
 * @param previous our session before this one, which may outlive its connection: it is ended, so
 *   that what it began is over before anything is looked up or done again
 * @throws StoreOutage; FOLDER_IN_USE when another coordinator has the lock; BAD_USAGE
 */
export async function openWriterSession(
  address: PostgresAddress,
  previous: SessionIdentity | null,
): Promise<WriterSession> {
  const client = new pg.Client(connectionConfig(address));
  let open = true;
  let tellEnd: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    tellEnd = resolve;
  });
  const end = (): void => {
    open = false;
    tellEnd();
  };
  // Without a listener for errors the end of an idle connection would end the process.
  client.on('error', end);
  client.on('end', end);
  const destroy = (): void => {
    end();
    cutConnection(client);
  };
  const query = async (...args: never[]): Promise<unknown> => {
    try {
      return await (client.query as (...args: never[]) => Promise<unknown>)(...args);
    } catch (error) {
      throw asOutage(error, address);
    }
  };
  const run: WriterSession['run'] = async (text) => {
    const results = await query(text as never);
    const last = Array.isArray(results) ? results.at(-1) : results;
    return (last as pg.QueryResult).rows as Record<string, unknown>[];
  };
  try {
    await client.connect();
  } catch (error) {
    destroy();
    throw asConnectError(error, address, previous === null);
  }
  try {
    // The server looks after a silent client too: a machine that lost power must not keep the lock for hours.
    await run('SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3');
    await run('SET synchronous_commit = on');
    await takeLock(run, address, previous);
    const [row] = await run(
      'SELECT pid, backend_start::text AS started FROM pg_stat_activity WHERE pid = pg_backend_pid()',
    );
    return {
      identity: { pid: Number(row?.pid), startedAt: String(row?.started) },
      isOpen: () => open,
      ended,
      executor: executorOver(query),
      run,
      destroy,
      async close() {
        // A server that hangs would not answer the farewell either.
        const impatience = setTimeout(destroy, CLOSE_TIMEOUT_MS);
        await client.end().catch(() => {});
        clearTimeout(impatience);
      },
    };
  } catch (error) {
    destroy();
    throw asConnectError(asOutage(error, address), address, previous === null);
  }
}

async function takeLock(
  run: WriterSession['run'],
  address: PostgresAddress,
  previous: SessionIdentity | null,
): Promise<void> {
  const key = BigInt(LOCK_KEY);
  const deadlineMs = performance.now() + LOCK_PATIENCE_MS;
  for (;;) {
    const [answer] = await run(`SELECT pg_try_advisory_lock(${key}) AS taken`);
    if (answer?.taken === true) return;
    if (previous !== null)
      await run(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = ${previous.pid} AND backend_start = '${previous.startedAt}'`,
      );
    if (performance.now() >= deadlineMs) break;
    await sleep(LOCK_RETRY_MS);
  }
  // A lock on a 64-bit key is shown as its two halves, with objsubid 1.
  const [holder] = await run(
    `SELECT a.application_name AS name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database()
       AND l.classid = ${key >> 32n} AND l.objid = ${key & 0xffffffffn}`,
  );
  const name = typeof holder?.name === 'string' && holder.name !== '' ? ` (${holder.name})` : '';
  throw new CodedError(
    'FOLDER_IN_USE',
    `the ${address.description} is in use by another coordinator${name}; stop it, or name another in DATABASE_URL`,
  );
}
