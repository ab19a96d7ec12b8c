import type { BaseSQLiteDatabase } from 'drizzle-orm/sqlite-core';
import type { OutagePatience } from './outage-patience.js';
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

export type Engine = 'sqlite' | 'postgres';

/**
 * Reads and transactions wait while the database cannot be reached or its disk is full: then a
 * transaction is run again from its beginning, so its work must change nothing but the database.
 */
export interface Database extends Connection, Pick<OutagePatience, 'state' | 'onState'> {
  readonly engine: Engine;
  /** The database in words, for people: its file, or name and host, never a password. */
  readonly description: string;
  /** One transaction around several repositories, each made from the connection it is handed. */
  transact<T>(work: (connection: Connection) => Promise<T>): Promise<T>;
  /**
   * Runs queries that all see the database as it is at the first of them; writers go on meanwhile.
   * @throws STORE_UNAVAILABLE, DISK_FULL: nothing waits here
   */
  snapshot<T>(work: (executor: Executor) => Promise<T>): Promise<T>;
  /** From now on an outage is thrown in place of being waited for. */
  stopWaiting(): void;
  /** Waits for the transactions under way, then closes. */
  close(): Promise<void>;
}
