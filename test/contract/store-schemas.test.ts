import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { postgresTables, sqliteTables } from '@fleetlora/coordinator/store/schemas';
import t from 'tap';

const migrations = fileURLToPath(
  new URL('../store/migrations', import.meta.resolve('@fleetlora/coordinator')),
);

interface Column {
  readonly name: string;
  readonly type: string;
  readonly primaryKey: boolean;
  readonly notNull: boolean;
}
interface Table {
  readonly name?: string;
  readonly columns: Record<string, Column>;
  readonly indexes: Record<string, unknown>;
  readonly foreignKeys: Record<string, unknown>;
}

/** The newest generated snapshot of an engine: its tables by name. */
function snapshotOf(engine: string): Map<string, Table> {
  const folder = join(migrations, engine, 'meta');
  const newest =
    readdirSync(folder)
      .filter((name) => name.endsWith('_snapshot.json'))
      .sort()
      .at(-1) ?? '';
  const { tables } = JSON.parse(readFileSync(join(folder, newest), 'utf8')) as {
    tables: Record<string, Table>;
  };
  return new Map(Object.entries(tables).map(([key, table]) => [key.replace(/^public\./, ''), table]));
}

/** What a column of SQLite is on PostgreSQL; documents are text on the one and jsonb on the other. */
const counterparts: Record<string, readonly string[]> = {
  text: ['text', 'jsonb'],
  integer: ['bigint'],
  real: ['double precision'],
};

t.test('the two engines have the same tables, columns, indexes and foreign keys', async (t) => {
  const [sqlite, postgres] = [snapshotOf('sqlite'), snapshotOf('postgres')];
  t.same([...postgres.keys()].sort(), [...sqlite.keys()].sort());
  for (const [name, table] of sqlite) {
    const other = postgres.get(name);
    if (!other) continue;
    const shape = ({ columns }: Table) =>
      Object.values(columns).map(({ name, primaryKey, notNull }) => ({ name, primaryKey, notNull }));
    t.same(shape(other), shape(table), `columns of ${name}`);
    for (const { name: column, type } of Object.values(table.columns)) {
      const found = other.columns[column]?.type ?? 'missing';
      t.ok(counterparts[type]?.includes(found), `${name}.${column}: ${type} and ${found}`);
    }
    t.same(Object.keys(other.indexes).sort(), Object.keys(table.indexes).sort(), `indexes of ${name}`);
    t.equal(
      Object.keys(other.foreignKeys).length,
      Object.keys(table.foreignKeys).length,
      `foreign keys of ${name}`,
    );
  }
});

t.test('the migrations are those of the tables as they are described now', async (t) => {
  for (const [engine, tables] of Object.entries({ sqlite: sqliteTables, postgres: postgresTables })) {
    const generated = snapshotOf(engine);
    const described = Object.values(tables).map(
      (table) => table[Symbol.for('drizzle:Name') as never] as string,
    );
    t.same([...generated.keys()].sort(), described.sort(), `tables of ${engine}`);
    for (const table of Object.values(tables)) {
      const name = table[Symbol.for('drizzle:Name') as never] as string;
      const columns = table[Symbol.for('drizzle:Columns') as never] as Record<
        string,
        { name: string; notNull: boolean; primary: boolean; getSQLType(): string }
      >;
      t.same(
        Object.values(generated.get(name)?.columns ?? {}).map((c) => [
          c.name,
          c.type,
          c.notNull,
          c.primaryKey,
        ]),
        Object.values(columns).map((c) => [c.name, c.getSQLType(), c.notNull, c.primary]),
        `${engine}: columns of ${name}`,
      );
    }
  }
});
