import { asc, count, desc, eq, inArray, or } from 'drizzle-orm';
import type { CampaignRepository } from '../campaign/ports.js';
import type { Connection } from './database.js';
import { pickNamed, requireInserted } from './named-records.js';

/** Searches and their trials. */
export function createCampaignRepository({ tables, reader, write }: Connection): CampaignRepository {
  const { searches, trials } = tables;
  return {
    async insertSearch(search) {
      const rows = await write((tx) =>
        tx.insert(searches).values(search).onConflictDoNothing().returning({ id: searches.id }),
      );
      requireInserted(rows, `a search named "${search.name}"`);
    },
    async updateSearch(id, change) {
      await write((tx) => tx.update(searches).set(change).where(eq(searches.id, id)));
    },
    async findSearch(idOrName) {
      const named = or(eq(searches.id, idOrName), eq(searches.name, idOrName));
      return pickNamed(await reader.select().from(searches).where(named), idOrName);
    },
    listSearches: () => reader.select().from(searches).orderBy(desc(searches.createdAtMs), desc(searches.id)),
    listUnfinishedSearches: () =>
      reader
        .select()
        .from(searches)
        .where(inArray(searches.state, ['running', 'finalizing']))
        .orderBy(asc(searches.createdAtMs), asc(searches.id)),

    async insertTrial(trial) {
      await write((tx) => tx.insert(trials).values(trial));
    },
    async updateTrial(id, change) {
      await write((tx) => tx.update(trials).set(change).where(eq(trials.id, id)));
    },
    listTrials: (searchId) =>
      reader.select().from(trials).where(eq(trials.searchId, searchId)).orderBy(asc(trials.number)),
    async countTrials(searchId) {
      const rows = await reader
        .select({ state: trials.state, trials: count() })
        .from(trials)
        .where(eq(trials.searchId, searchId))
        .groupBy(trials.state);
      // PostgreSQL counts in 64 bits, which its driver hands over as text.
      return Object.fromEntries(rows.map((row) => [row.state, Number(row.trials)]));
    },
  };
}
