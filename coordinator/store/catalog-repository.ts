import type { Adapter, Base, Dataset } from '@fleetlora/shared/protocol';
import { asc, eq, or } from 'drizzle-orm';
import type { CatalogRepository } from '../models/ports.js';
import type { Connection } from './database.js';
import { pickNamed, requireInserted } from './named-records.js';
import type { Tables } from './schemas/tables.js';

/** A row of before 0.4 tells of the fp32 file alone. */
function toBase({ files, pruning, merged, ...row }: Tables['bases']['$inferSelect']): Base {
  const { digest, bytes } = row;
  return {
    ...row,
    files: files ?? { fp32: { digest, bytes } },
    ...(pruning && { pruning }),
    ...(merged && { merged }),
  };
}

/** What a row has null for, a record has not at all. */
function toAdapter({ masked, ...row }: Tables['adapters']['$inferSelect']): Adapter {
  return { ...row, ...(masked && { masked }) };
}

/** A row of the first version is one unsplit file of completions. */
function toDataset({ splits, task, ...row }: Tables['datasets']['$inferSelect']): Dataset {
  return {
    ...row,
    splits: splits ?? { all: { digest: row.digest, rows: row.rows } },
    task: task ?? { kind: 'completion' },
  };
}

export function createCatalogRepository({ tables, reader, write }: Connection): CatalogRepository {
  const { bases, adapters, datasets } = tables;
  return {
    async insertBase(base) {
      const rows = await write((tx) =>
        tx.insert(bases).values(base).onConflictDoNothing().returning({ id: bases.id }),
      );
      requireInserted(rows, `a base named "${base.name}"`);
    },
    async updateBase(id, change) {
      await write((tx) => tx.update(bases).set(change).where(eq(bases.id, id)));
    },
    async listBases() {
      const rows = await reader.select().from(bases).orderBy(asc(bases.createdAtMs), asc(bases.id));
      return rows.map(toBase);
    },
    async findBase(idOrName) {
      const named = or(eq(bases.id, idOrName), eq(bases.name, idOrName));
      const row = pickNamed(await reader.select().from(bases).where(named), idOrName);
      return row && toBase(row);
    },

    async insertAdapter(adapter) {
      const rows = await write((tx) =>
        tx.insert(adapters).values(adapter).onConflictDoNothing().returning({ id: adapters.id }),
      );
      requireInserted(rows, `an adapter named "${adapter.name}"`);
    },
    async listAdapters() {
      const rows = await reader.select().from(adapters).orderBy(asc(adapters.createdAtMs), asc(adapters.id));
      return rows.map(toAdapter);
    },
    async findAdapter(idOrName) {
      const named = or(eq(adapters.id, idOrName), eq(adapters.name, idOrName));
      const row = pickNamed(await reader.select().from(adapters).where(named), idOrName);
      return row && toAdapter(row);
    },

    async insertDataset(dataset) {
      const rows = await write((tx) =>
        tx.insert(datasets).values(dataset).onConflictDoNothing().returning({ id: datasets.id }),
      );
      requireInserted(rows, `a data set named "${dataset.name}"`);
    },
    async listDatasets() {
      const rows = await reader.select().from(datasets).orderBy(asc(datasets.createdAtMs), asc(datasets.id));
      return rows.map(toDataset);
    },
    async findDataset(idOrName) {
      const named = or(eq(datasets.id, idOrName), eq(datasets.name, idOrName));
      const row = pickNamed(await reader.select().from(datasets).where(named), idOrName);
      return row && toDataset(row);
    },
  };
}
