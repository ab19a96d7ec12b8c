import { and, asc, eq, inArray } from 'drizzle-orm';
import { type JobRepository, unfinishedJobStates } from '../fleet/ports.js';
import type { Connection } from './database.js';

/** SQLite takes at most 32,766 parameters in one statement; PostgreSQL 65,535. */
const IDS_PER_QUERY = 10_000;

export function createJobRepository({ tables: { jobs }, reader, write }: Connection): JobRepository {
  // Ids are ULIDs: they sort by creation, also within one millisecond.
  const oldestFirst = [asc(jobs.createdAtMs), asc(jobs.id)];
  return {
    async insert(job) {
      await write((tx) => tx.insert(jobs).values(job));
    },
    async find(id) {
      const [row] = await reader.select().from(jobs).where(eq(jobs.id, id));
      return row ?? null;
    },
    listUnfinished(deviceId) {
      const unfinished = inArray(jobs.state, [...unfinishedJobStates]);
      return reader
        .select()
        .from(jobs)
        .where(deviceId === undefined ? unfinished : and(unfinished, eq(jobs.deviceId, deviceId)))
        .orderBy(...oldestFirst);
    },
    async listOfTrials(trialIds) {
      const rows = [];
      for (let start = 0; start < trialIds.length; start += IDS_PER_QUERY) {
        const some = trialIds.slice(start, start + IDS_PER_QUERY);
        rows.push(
          ...(await reader
            .select()
            .from(jobs)
            .where(inArray(jobs.trialId, some))
            .orderBy(...oldestFirst)),
        );
      }
      return rows;
    },
    async update(id, change) {
      await write((tx) => tx.update(jobs).set(change).where(eq(jobs.id, id)));
    },
  };
}
