import { index, integer, real, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core';

/**
 * The builders that tables are described with, for SQLite. Two engines share one description:
 * only what both can say is here (times and flags are integers, documents are JSON), and the
 * PostgreSQL kit has the same shape. Every name is given in the database's spelling.
 */
export const sqliteKit = {
  table: sqliteTable,
  index,
  uniqueIndex,
  /** Any text, ids included. */
  text: (name: string) => text(name),
  /** An integer up to 2^53: counts, bytes, milliseconds since 1970, flags (0 or 1). */
  int: (name: string) => integer(name),
  real: (name: string) => real(name),
  /** A document whose shape was checked where it entered the program. */
  json: <T>(name: string) => text(name, { mode: 'json' }).$type<T>(),
};

export type TableKit = typeof sqliteKit;
