import { sqliteKit } from './kit.js';
import { defineTables } from './tables.js';

/** The tables for SQLite. Exported one by one as well: that is how the migration generator finds them. */
export const sqliteTables = defineTables(sqliteKit);
export const {
  settings,
  codes,
  devices,
  policies,
  jobs,
  bases,
  adapters,
  datasets,
  trainings,
  searches,
  trials,
  releases,
  rollouts,
  rolloutDevices,
} = sqliteTables;
