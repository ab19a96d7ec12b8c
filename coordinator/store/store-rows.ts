import { createHash } from 'node:crypto';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { asc, type Column, getTableColumns, getTableName, gt } from 'drizzle-orm';
import type { SQLiteTable } from 'drizzle-orm/sqlite-core';
import type { Database, Executor } from './database.js';
import { toStorableText } from './schemas/postgres-kit.js';

/**
 * The rows of a table in batches, each row one line of JSON with sorted keys, named as its columns.
 * Columns that are null are left out, so that a column which comes later changes no line.
 */
export type LineSource = (table: string) => AsyncIterable<readonly string[]>;

/** How many rows a table has, and a digest of them that does not depend on their order or engine. */
export interface TableSummary {
  readonly table: string;
  readonly rows: number;
  readonly digest: string;
}

/** All rows of a store, in a form that both engines share. */
export interface StoreRows {
  /** Names of the tables; a table comes behind those it refers to. */
  readonly tables: readonly string[];
  /** Runs `work` over the rows as they are at one moment; writers go on meanwhile. */
  snapshot<T>(work: (linesOf: LineSource) => Promise<T>): Promise<T>;
  /**
   * Fills an empty store, in one transaction. The source may be asked more than once.
   * @throws STATE_CONFLICT when a table has rows, BACKUP_INVALID when a line is no row of its table
   */
  load(linesOf: LineSource): Promise<void>;
}

/** A row may hold a thousand samples; so many of them are read and written without stopping. */
const BATCH_ROWS = 50;

export function createStoreRows(database: Database): StoreRows {
  const tables = new Map<string, SQLiteTable>(
    Object.values(database.tables).map((table) => [getTableName(table), table]),
  );
  const tableOf = (name: string): SQLiteTable => {
    const table = tables.get(name);
    if (!table) throw new CodedError('BUG', `no table ${name}`);
    return table;
  };
  return {
    tables: [...tables.keys()],
    snapshot: (work) => database.snapshot((executor) => work((name) => readLines(executor, tableOf(name)))),
    load: (linesOf) =>
      database.write(async (executor) => {
        for (const table of tables.values()) await requireEmpty(executor, table, database.description);
        for (const [name, table] of tables) {
          let line = 0;
          for await (const lines of linesOf(name)) {
            const rows = lines.map((text) => parseRow(table, text, ++line));
            for (let start = 0; start < rows.length; start += BATCH_ROWS)
              await executor.insert(table).values(rows.slice(start, start + BATCH_ROWS) as never);
          }
        }
      }),
  };
}

async function* readLines(executor: Executor, table: SQLiteTable): AsyncGenerator<string[]> {
  const columns = getTableColumns(table);
  const [key, keyColumn] = primaryKeyOf(table);
  for (let last: unknown; ; ) {
    const rows: Record<string, unknown>[] = await executor
      .select()
      .from(table)
      .where(last === undefined ? undefined : gt(keyColumn, last))
      .orderBy(asc(keyColumn))
      .limit(BATCH_ROWS);
    if (rows.length === 0) return;
    last = rows.at(-1)?.[key];
    yield rows.map((row) =>
      toCanonicalJson(
        Object.fromEntries(
          Object.entries(columns)
            .filter(([name]) => row[name] !== null)
            .map(([name, column]) => [column.name, row[name]]),
        ),
      ),
    );
  }
}

function primaryKeyOf(table: SQLiteTable): [name: string, column: Column] {
  const found = Object.entries(getTableColumns(table)).find(([, column]) => column.primary);
  if (!found) throw new CodedError('BUG', `table ${getTableName(table)} has no primary key`);
  return found;
}

/** Engines give documents back with their keys in another order, and know other texts. */
function toCanonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'string') return toStorableText(inner);
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

async function requireEmpty(executor: Executor, table: SQLiteTable, where: string): Promise<void> {
  const rows = await executor.select().from(table).limit(1);
  if (rows.length > 0)
    throw new CodedError(
      'STATE_CONFLICT',
      `table ${getTableName(table)} of ${where} has rows, wanted an empty database`,
    );
}

/** A line as a row of its table. A column that the line lacks is null, if it may be. */
function parseRow(table: SQLiteTable, text: string, line: number): Record<string, unknown> {
  const refuse = (reason: string): CodedError =>
    new CodedError('BACKUP_INVALID', `row ${line} of table ${getTableName(table)}: ${reason}`);
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch (error) {
    throw refuse(messageOf(error));
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) throw refuse('is no object');
  const columns = Object.entries(getTableColumns(table));
  const known = new Set(columns.map(([, column]) => column.name));
  for (const name of Object.keys(fields))
    if (!known.has(name)) throw refuse(`has a column "${name.slice(0, 60)}" that this release does not know`);
  return Object.fromEntries(
    columns.map(([key, column]) => {
      const value = Object.hasOwn(fields, column.name) ? fields[column.name as never] : null;
      if (!fits(column, value))
        throw refuse(`${column.name} is ${describe(value)}, wanted ${column.getSQLType()}`);
      return [key, value];
    }),
  );
}

function fits(column: Column, value: unknown): boolean {
  if (value === null) return !column.notNull && !column.primary;
  switch (column.getSQLType()) {
    case 'integer':
    case 'bigint':
      return Number.isSafeInteger(value);
    case 'real':
    case 'double precision':
      return typeof value === 'number';
    case 'text':
      // Documents are text on SQLite as well.
      return typeof value === 'string' || (column.dataType === 'json' && typeof value === 'object');
    default:
      return true;
  }
}

const describe = (value: unknown): string => (value === null ? 'null' : JSON.stringify(value).slice(0, 60));

const MODULUS = 2n ** 256n;

/** Adds up lines, in whatever order they come. */
export function createLineDigest(): {
  add(lines: readonly string[]): void;
  rows(): number;
  digest(): string;
} {
  let rows = 0;
  // The sum of the lines' SHA-256 does not depend on the order in which an engine reads them.
  let sum = 0n;
  return {
    add(lines) {
      rows += lines.length;
      for (const line of lines)
        sum = (sum + BigInt(`0x${createHash('sha256').update(line).digest('hex')}`)) % MODULUS;
    },
    rows: () => rows,
    digest: () => sum.toString(16).padStart(64, '0'),
  };
}

/** Counts and digests of all tables, as they are at one moment. */
export function summarizeRows(rows: StoreRows): Promise<TableSummary[]> {
  return rows.snapshot(async (linesOf) => {
    const summaries: TableSummary[] = [];
    for (const table of rows.tables) {
      const digest = createLineDigest();
      for await (const lines of linesOf(table)) digest.add(lines);
      summaries.push({ table, rows: digest.rows(), digest: digest.digest() });
    }
    return summaries;
  });
}
