import type { Dataset } from '@fleetlora/shared/protocol';
import { asc, eq, or } from 'drizzle-orm';
import type { CatalogRepository } from '../models/ports.js';
import type { Connection } from './database.js';
import { pickNamed, requireInserted } from './named-records.js';
import type { Tables } from './schemas/tables.js';

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
    listBases: () => reader.select().from(bases).orderBy(asc(bases.createdAtMs), asc(bases.id)),
    async findBase(idOrName) {
      const named = or(eq(bases.id, idOrName), eq(bases.name, idOrName));
      return pickNamed(await reader.select().from(bases).where(named), idOrName);
    },

    async insertAdapter(adapter) {
      const rows = await write((tx) =>
        tx.insert(adapters).values(adapter).onConflictDoNothing().returning({ id: adapters.id }),
      );
      requireInserted(rows, `an adapter named "${adapter.name}"`);
    },
    listAdapters: () => reader.select().from(adapters).orderBy(asc(adapters.createdAtMs), asc(adapters.id)),
    async findAdapter(idOrName) {
      const named = or(eq(adapters.id, idOrName), eq(adapters.name, idOrName));
      return pickNamed(await reader.select().from(adapters).where(named), idOrName);
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
