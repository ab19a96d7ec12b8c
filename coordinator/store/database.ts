import { fileURLToPath, pathToFileURL } from 'node:url';
import { createClient } from '@libsql/client';
import { drizzle } from 'drizzle-orm/libsql';
import { migrate } from 'drizzle-orm/libsql/migrator';
import type { BaseSQLiteDatabase } from 'drizzle-orm/sqlite-core';
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
 * Opens (and brings up to date) the SQLite database in a file. Durability: WAL with
 * synchronous=FULL, libsql's default on every connection, so a commit survives the loss of power.
 */
export async function openDatabase(path: string): Promise<Database> {
  const client = createClient({ url: pathToFileURL(path).href });
  const db = drizzle(client);
  try {
    await client.execute('PRAGMA journal_mode=WAL');
    await migrate(db, { migrationsFolder });
  } catch (error) {
    client.close();
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
      db.transaction((transaction) =>
        work({ tables, reader: transaction, write: (inner) => inner(transaction) }),
      ),
    );
  return {
    tables,
    reader: db,
    write: (work) => transact((connection) => connection.write(work)),
    transact,
    async close() {
      await last;
      client.close();
    },
  };
}
