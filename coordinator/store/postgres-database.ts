import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isCoded } from '@fleetlora/shared/errors';
import type { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import type { Connection, Database } from './database.js';
import { findOutage, type OutagePatience, StoreOutage } from './outage-patience.js';
import type { PostgresAddress } from './postgres-address.js';
import { asConnectError, asOutage } from './postgres-errors.js';
import {
  connectionConfig,
  cutConnection,
  executorOver,
  openWriterSession,
  type SessionIdentity,
  type WriterSession,
} from './postgres-session.js';
import { postgresTables } from './schemas/postgres.js';
import { createWriteQueue } from './write-queue.js';

export interface PostgresOptions {
  readonly patience: OutagePatience;
  /** Told once when nothing can be written any more: another coordinator has taken the database. */
  readonly onLost: (error: Error) => void;
  /** How long the first connection is waited for. */
  readonly openWithinMs?: number;
  /** Ends the waiting for it. */
  readonly signal?: AbortSignal;
}

const OPEN_WITHIN_MS = 30_000;
const OPEN_RETRY_MS = 500;
/** Once nothing is waited for: what is under way gets this long, then the server is taken to hang. */
const LAST_ANSWERS_MS = 3000;
const READERS = 8;
const migrationsFolder = fileURLToPath(new URL('../../store/migrations/postgres', import.meta.url));

/**
 * Opens (and brings up to date) a PostgreSQL database and takes it for this coordinator.
 *
 * Invariants:
 * - One session writes, and holds the coordinator's lock from its first statement to its end. So
 *   nothing is written without the lock.
 * - Every transaction leaves a token of its own in `fleetlora_last_write`. When the answer to a
 *   commit is lost, the token tells exactly whether that transaction was applied; a transaction id
 *   would not, since a server that crashed gives the ids out again that it had not written down.
 * @throws BAD_USAGE (refused by the server), STORE_UNAVAILABLE (no answer in time), FOLDER_IN_USE
 */
export async function openPostgresDatabase(
  address: PostgresAddress,
  options: PostgresOptions,
): Promise<Database> {
  const { patience } = options;
  const pool = new pg.Pool({ ...connectionConfig(address), max: READERS });
  // An idle connection that ends is replaced at the next query.
  pool.on('error', () => {});
  /** The pool's connections, each with its end, which may come after the pool's own. */
  const readers = new Map<pg.PoolClient, Promise<void>>();
  pool.on('connect', (client) => {
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    readers.set(client, ended);
    ended.then(() => readers.delete(client));
  });
  /** True once a server that may hang is not spoken to any more. */
  let givenUp = false;
  const requireHope = (): void => {
    if (givenUp)
      throw new StoreOutage('STORE_UNAVAILABLE', `${address.description} did not answer before the end`);
  };
  const onPool = async (...args: never[]): Promise<unknown> => {
    try {
      requireHope();
      return await (pool.query as (...args: never[]) => Promise<unknown>)(...args);
    } catch (error) {
      throw asOutage(error, address);
    }
  };

  let session: WriterSession;
  try {
    session = await openFirst(address, options.openWithinMs ?? OPEN_WITHIN_MS, options.signal);
  } catch (error) {
    await pool.end();
    throw error;
  }
  let lastIdentity: SessionIdentity = session.identity;
  let lost: Error | null = null;
  let closing: Promise<void> | null = null;
  const writes = createWriteQueue();
  const writable = async (): Promise<WriterSession> => {
    if (lost !== null) throw lost;
    if (session.isOpen()) return session;
    requireHope();
    try {
      session = await openWriterSession(address, lastIdentity);
    } catch (error) {
      if (isCoded(error, 'FOLDER_IN_USE')) {
        lost = error;
        options.onLost(error);
      }
      throw error;
    }
    lastIdentity = session.identity;
    watch(session);
    return session;
  };
  /** Takes the lock again as soon as it is lost, though nothing is to be written. */
  const watch = ({ ended }: WriterSession): void => {
    ended.then(() => {
      if (closing === null && lost === null)
        writes.run(() => patience.run('write', writable)).catch(() => {});
    });
  };

  const tables = postgresTables;
  const transact = <T>(work: (connection: Connection) => Promise<T>): Promise<T> =>
    writes.run(() => {
      /** A commit that was sent and not answered. */
      let unsure: { readonly token: string; readonly result: T } | null = null;
      return patience.run('write', async () => {
        const current = await writable();
        const { executor } = current;
        try {
          if (unsure !== null) {
            const [row] = await current.run('SELECT token FROM fleetlora_last_write');
            if (row?.token === unsure.token) return unsure.result;
            unsure = null;
          }
          await current.run('BEGIN');
          const result = await work({ tables, reader: executor, write: (inner) => inner(executor) });
          const token = randomUUID();
          unsure = { token, result };
          await current.run(`UPDATE fleetlora_last_write SET token = '${token}'; COMMIT`);
          return result;
        } catch (error) {
          await abandon(current, error);
          throw error;
        }
      });
    });

  try {
    await prepare(session);
  } catch (error) {
    session.destroy();
    await pool.end();
    throw asConnectError(findOutage(error) ?? (error as Error).cause ?? error, address, true);
  }
  watch(session);
  let lastAnswers: NodeJS.Timeout | undefined;
  /** A server that hangs, or behind a network that is gone, would keep us for as long as TCP does. */
  const stopWaiting = (): void => {
    patience.end();
    lastAnswers ??= setTimeout(() => {
      givenUp = true;
      session.destroy();
      for (const client of readers.keys()) cutConnection(client);
    }, LAST_ANSWERS_MS);
  };
  const reader = executorOver((...args) => patience.run('read', () => onPool(...args)));
  return {
    engine: 'postgres',
    description: address.description,
    tables,
    reader,
    write: (work) => transact((connection) => connection.write(work)),
    transact,
    snapshot: (work) => readSnapshot(pool, address, work),
    state: patience.state,
    onState: patience.onState,
    stopWaiting,
    close() {
      stopWaiting();
      closing ??= writes.settled().then(async () => {
        if (session.isOpen()) await session.close();
        await pool.end();
        await Promise.all(readers.values());
        clearTimeout(lastAnswers);
      });
      return closing;
    },
  };
}

/** Undoes what a failed transaction began; a session that does not answer is given up with it. */
async function abandon(session: WriterSession, error: unknown): Promise<void> {
  const outage = findOutage(error);
  try {
    // With a full disk the session is sound, and so it is after any error of the work itself.
    if (outage === null || outage.code === 'DISK_FULL') await session.run('ROLLBACK');
    else session.destroy();
  } catch {
    session.destroy();
  }
}

/** @throws STORE_UNAVAILABLE saying how long it waited, BAD_USAGE, FOLDER_IN_USE */
async function openFirst(
  address: PostgresAddress,
  withinMs: number,
  signal: AbortSignal | undefined,
): Promise<WriterSession> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await openWriterSession(address, null);
    } catch (error) {
      if (!(error instanceof StoreOutage) || signal?.aborted) throw error;
      if (performance.now() + OPEN_RETRY_MS > deadlineMs)
        throw new StoreOutage(
          'STORE_UNAVAILABLE',
          `PostgreSQL could not be reached in ${withinMs / 1000} s, ${error.message}`,
          { cause: error },
        );
      await sleep(OPEN_RETRY_MS);
    }
  }
}

/**
 * Brings the tables up to date (the migrator's transaction: all or nothing), and lays the row that
 * tells of the last write.
 */
async function prepare(session: WriterSession): Promise<void> {
  await migrate(session.executor as unknown as ReturnType<typeof drizzle>, { migrationsFolder });
  await session.run(
    `CREATE TABLE IF NOT EXISTS fleetlora_last_write
       (only_row int PRIMARY KEY CHECK (only_row = 1), token text NOT NULL);
     INSERT INTO fleetlora_last_write VALUES (1, '') ON CONFLICT DO NOTHING`,
  );
}

async function readSnapshot<T>(
  pool: pg.Pool,
  address: PostgresAddress,
  work: Parameters<Database['snapshot']>[0],
): Promise<T> {
  let client: pg.PoolClient | undefined;
  let failed: Error | undefined;
  try {
    client = await pool.connect();
    const query = client.query.bind(client) as (...args: never[]) => Promise<unknown>;
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const result = await work(executorOver(query));
    await client.query('COMMIT');
    return result as T;
  } catch (error) {
    failed = error as Error;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw findOutage(error) ?? (cause instanceof pg.DatabaseError ? asOutage(cause, address) : error);
  } finally {
    client?.release(failed);
  }
}
