import { postgresKit } from './postgres-kit.js';
import { defineTables } from './tables.js';

/** The tables for PostgreSQL. Exported one by one as well: that is how the migration generator finds them. */
export const postgresTables = defineTables(postgresKit);
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
} = postgresTables;
