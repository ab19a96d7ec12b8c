import { fileURLToPath, pathToFileURL } from 'node:url';
import { sql } from 'drizzle-orm';
import type { BaseSQLiteDatabase } from 'drizzle-orm/sqlite-core';
import { drizzle } from 'drizzle-orm/sqlite-proxy';
import { migrate } from 'drizzle-orm/sqlite-proxy/migrator';
import type { DatabaseRequest } from './database-messages.js';
import { startDatabaseThread } from './database-thread.js';
import { sqliteTables } from './schemas/sqlite.js';
import type { Tables } from './schemas/tables.js';

/**
 * The part of drizzle's query builder that both engines share: no `.get`, `.all` or `batch`.
 * Typed by the SQLite side; a PostgreSQL database is cast where it is opened.
 */
export type Executor = Pick<BaseSQLiteDatabase<'async', unknown>, 'select' | 'insert' | 'update' | 'delete'>;

/** Where repositories run: straight on the database, or inside a transaction. */
export interface Connection {
  readonly tables: Tables;
  /** For queries that change nothing. */
  readonly reader: Executor;
  /**
   * Runs changes as one transaction: all of them durable when the promise resolves, none when it
   * rejects. Inside a transaction it joins that one.
   */
  write<T>(work: (executor: Executor) => Promise<T>): Promise<T>;
}

export interface Database extends Connection {
  /** One transaction around several repositories, each made from the connection it is handed. */
  transact<T>(work: (connection: Connection) => Promise<T>): Promise<T>;
  /** Waits for the transactions under way, then closes. */
  close(): Promise<void>;
}

const migrationsFolder = fileURLToPath(new URL('../../store/migrations/sqlite', import.meta.url));

/**
 * Opens (and brings up to date) the SQLite database in a file. Statements run in a thread of
 * their own; each is one message there and one back.
 */
export async function openDatabase(path: string): Promise<Database> {
  const thread = await startDatabaseThread({ url: pathToFileURL(path).href });
  const connect = (connection: DatabaseRequest['connection']) =>
    drizzle(async (sql, parameters, method) => {
      const { rows } = await thread.execute(connection, sql, parameters);
      return { rows: method === 'get' ? (rows[0] ?? []) : rows };
    });
  const reader = connect('reader');
  const writer = connect('writer');
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
    throw error;
  }

  // Invariant: at most one write transaction is open. SQLite has one writer, and a second BEGIN
  // IMMEDIATE would fail with SQLITE_BUSY instead of waiting; so they wait here, in order.
  let last: Promise<unknown> = Promise.resolve();
  const enqueue = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
  const tables = sqliteTables;
  const transact = <T>(work: (connection: Connection) => Promise<T>): Promise<T> =>
    enqueue(() =>
      writer.transaction(
        (transaction) => work({ tables, reader: transaction, write: (inner) => inner(transaction) }),
        { behavior: 'immediate' },
      ),
    );
  return {
    tables,
    reader,
    write: (work) => transact((connection) => connection.write(work)),
    transact,
    async close() {
      await last;
      await thread.close();
    },
  };
}
