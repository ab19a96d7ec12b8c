import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDiskFull } from '@fleetlora/shared/node';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/sqlite-proxy';
import { migrate } from 'drizzle-orm/sqlite-proxy/migrator';
import type { Connection, Database } from './database.js';
import { type DatabaseRequest, SqliteError } from './database-messages.js';
import { startDatabaseThread } from './database-thread.js';
import { findOutage, type OutagePatience, StoreOutage } from './outage-patience.js';
import { sqliteTables } from './schemas/sqlite.js';
import { createWriteQueue } from './write-queue.js';

const migrationsFolder = fileURLToPath(new URL('../../store/migrations/sqlite', import.meta.url));

/**
 * Opens (and brings up to date) the SQLite database in a file. Statements run in a thread of
 * their own; each is one message there and one back.
 * @throws DISK_FULL when there is no room to open it
 */
export async function openSqliteDatabase(path: string, patience: OutagePatience): Promise<Database> {
  const asOutage = async (error: unknown): Promise<unknown> => {
    const full = error instanceof SqliteError && (await tellsOfFullDisk(error, dirname(path)));
    if (!full) return error;
    return new StoreOutage('DISK_FULL', `no space is left for the database ${path}`, { cause: error });
  };
  const thread = await startDatabaseThread({ url: pathToFileURL(path).href }).catch(async (error) => {
    throw await asOutage(error);
  });
  const connect = (connection: DatabaseRequest['connection']) =>
    drizzle(async (sql, parameters, method) => {
      const attempt = async () => {
        try {
          return await thread.execute(connection, sql, parameters);
        } catch (error) {
          throw await asOutage(error);
        }
      };
      // A transaction is repeated as a whole, by those who run it.
      const { rows } = connection === 'reader' ? await patience.run('read', attempt) : await attempt();
      return { rows: method === 'get' ? (rows[0] ?? []) : rows };
    });
  const reader = connect('reader');
  const writer = connect('writer');
  const snapshots = connect('snapshot');
  try {
    // All or nothing: a crash between two statements must not leave half a migration.
    const run = (queries: readonly string[]) =>
      writer.transaction(
        async (transaction) => {
          for (const query of queries) await transaction.run(sql.raw(query));
        },
        { behavior: 'immediate' },
      );
    await migrate(reader, run, { migrationsFolder });
  } catch (error) {
    await thread.close();
    throw findOutage(error) ?? error;
  }

  const writes = createWriteQueue();
  const readings = createWriteQueue();
  const tables = sqliteTables;
  let closing: Promise<void> | null = null;
  const transact = <T>(work: (connection: Connection) => Promise<T>): Promise<T> =>
    writes.run(() =>
      patience.run('write', () =>
        writer.transaction(
          (transaction) => work({ tables, reader: transaction, write: (inner) => inner(transaction) }),
          { behavior: 'immediate' },
        ),
      ),
    );
  return {
    engine: 'sqlite',
    description: `the file ${path}`,
    tables,
    reader,
    write: (work) => transact((connection) => connection.write(work)),
    transact,
    snapshot: (work) => readings.run(() => snapshots.transaction((transaction) => work(transaction))),
    state: patience.state,
    onState: patience.onState,
    stopWaiting: patience.end,
    close() {
      patience.end();
      closing ??= Promise.all([writes.settled(), readings.settled()]).then(() => thread.close());
      return closing;
    },
  };
}

/** More than what SQLite asks for at once: a page, a WAL frame, a piece of its index. */
const PROBE_BYTES = 64 * 1024;

/**
 * SQLite tells of a full disk when it writes pages. For the files beside the database, and for a
 * quota that is used up, it only says that input or output failed: then a file of our own shows
 * whether there is room.
 */
async function tellsOfFullDisk({ code }: SqliteError, folder: string): Promise<boolean> {
  if (code === 'SQLITE_FULL') return true;
  if (code === null || !/^SQLITE_(IOERR|CANTOPEN)/.test(code)) return false;
  const probe = join(folder, `probe.${randomUUID()}.part`);
  try {
    await writeFile(probe, new Uint8Array(PROBE_BYTES), { mode: 0o600, flush: true });
    return false;
  } catch (error) {
    return isDiskFull(error);
  } finally {
    await rm(probe, { force: true });
  }
}
