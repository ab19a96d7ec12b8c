import { asc, eq, or } from 'drizzle-orm';
import type { CatalogRepository } from '../models/ports.js';
import type { Connection } from './database.js';
import { pickNamed, requireInserted } from './named-records.js';

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
    listDatasets: () => reader.select().from(datasets).orderBy(asc(datasets.createdAtMs), asc(datasets.id)),
    async findDataset(idOrName) {
      const named = or(eq(datasets.id, idOrName), eq(datasets.name, idOrName));
      return pickNamed(await reader.select().from(datasets).where(named), idOrName);
    },
  };
}
