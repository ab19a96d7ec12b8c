export { postgresTables } from './postgres.js';
export { sqliteTables } from './sqlite.js';
export type { Tables } from './tables.js';
