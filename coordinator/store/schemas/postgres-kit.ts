import { bigint, doublePrecision, index, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { TableKit } from './kit.js';

/**
 * The table kit for PostgreSQL. Repositories are typed by the SQLite side; the builders below give
 * rows of the same JavaScript shape (bigint read as number, jsonb as a value), so the kit is cast
 * here, once.
 */
export const postgresKit = {
  table: pgTable,
  index,
  uniqueIndex,
  text: (name: string) => text(name),
  int: (name: string) => bigint(name, { mode: 'number' }),
  real: (name: string) => doublePrecision(name),
  json: <T>(name: string) => jsonb(name).$type<T>(),
} as unknown as TableKit;
