import { type Clock, systemClock } from '@fleetlora/shared/clock';
import type { Database } from './database.js';
import type { StoreLog } from './outage-patience.js';
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
}

const silent: StoreLog = { info() {}, error() {} };

/** The database under a store. @throws as openStore */
export function openDatabase(place: string, options: StoreOptions = {}): Promise<Database> {
  const { clock = systemClock, log = silent, onLost = () => {}, openWithinMs } = options;
  return isPostgresUrl(place)
    ? openPostgresDatabase(parsePostgresUrl(place), { clock, log, onLost, openWithinMs })
    : openSqliteDatabase(place, { clock, log });
}
