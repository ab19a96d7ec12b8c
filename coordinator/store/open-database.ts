import { type Clock, systemClock } from '@fleetlora/shared/clock';
import type { Database } from './database.js';
import { createOutagePatience, type StoreLog } from './outage-patience.js';
import { isPostgresUrl, parsePostgresUrl } from './postgres-address.js';
import { openPostgresDatabase } from './postgres-database.js';
import { openSqliteDatabase } from './sqlite-database.js';

export interface StoreOptions {
  readonly clock?: Clock;
  readonly log?: StoreLog;
  /** Told once when nothing can be written any more, because another coordinator has the database. */
  readonly onLost?: (error: Error) => void;
  /** How long the first answer of a PostgreSQL server is waited for. */
  readonly openWithinMs?: number;
  /**
   * `wait` (the default) for a coordinator; `fail` for a command, which has nothing else to do and
   * somebody who waits for its answer: an outage is thrown.
   */
  readonly onOutage?: 'wait' | 'fail';
  /** Once aborted nothing is waited for, not the first answer either. */
  readonly signal?: AbortSignal;
}

const silent: StoreLog = { info() {}, error() {} };

/** The database under a store. @throws as openStore */
export async function openDatabase(place: string, options: StoreOptions = {}): Promise<Database> {
  const { clock = systemClock, log = silent, onLost = () => {}, openWithinMs, signal } = options;
  const patience = createOutagePatience({ clock, log });
  if (options.onOutage === 'fail') patience.end();
  const database = isPostgresUrl(place)
    ? await openPostgresDatabase(parsePostgresUrl(place), { patience, onLost, openWithinMs, signal })
    : await openSqliteDatabase(place, patience);
  if (signal?.aborted) database.stopWaiting();
  signal?.addEventListener('abort', database.stopWaiting, { once: true });
  return database;
}
