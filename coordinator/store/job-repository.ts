import { and, asc, desc, eq, inArray, isNotNull, isNull, or } from 'drizzle-orm';
import { type JobRepository, type StoredJob, unfinishedJobStates } from '../fleet/ports.js';
import type { Connection } from './database.js';
import type { Tables } from './schemas/tables.js';

type Row = Tables['jobs']['$inferSelect'];
const fromRow = ({ kind, trialId, otherTrialIds, ...row }: Row): StoredJob => ({
  ...row,
  kind: kind ?? 'trial',
  trialIds: trialId === '' ? [] : [trialId, ...(otherTrialIds ?? [])],
});

export function createJobRepository({ tables: { jobs }, reader, write }: Connection): JobRepository {
  // Ids are ULIDs: they sort by creation, also within one millisecond.
  const oldestFirst = [asc(jobs.createdAtMs), asc(jobs.id)];
  return {
    async insert({ trialIds: [trialId = '', ...otherTrialIds], ...job }) {
      await write((tx) => tx.insert(jobs).values({ ...job, trialId, otherTrialIds }));
    },
    async find(id) {
      const [row] = await reader.select().from(jobs).where(eq(jobs.id, id));
      return row ? fromRow(row) : null;
    },
    async listUnfinished(deviceId) {
      const unfinished = inArray(jobs.state, [...unfinishedJobStates]);
      const rows = await reader
        .select()
        .from(jobs)
        .where(deviceId === undefined ? unfinished : and(unfinished, eq(jobs.deviceId, deviceId)))
        .orderBy(...oldestFirst);
      return rows.map(fromRow);
    },
    async listOfSearch(searchId, kind) {
      const ofKind = kind && or(eq(jobs.kind, kind), kind === 'trial' ? isNull(jobs.kind) : undefined);
      const rows = await reader
        .select()
        .from(jobs)
        .where(and(eq(jobs.searchId, searchId), ofKind))
        .orderBy(...oldestFirst);
      return rows.map(fromRow);
    },
    async deleteQualifications(deviceId, kept) {
      const ended = and(
        eq(jobs.deviceId, deviceId),
        eq(jobs.kind, 'qualification'),
        isNotNull(jobs.endedAtMs),
      );
      await write(async (tx) => {
        const rows = await tx
          .select({ id: jobs.id })
          .from(jobs)
          .where(ended)
          .orderBy(desc(jobs.createdAtMs), desc(jobs.id))
          .offset(kept)
          .limit(1000);
        const ids = rows.map(({ id }) => id);
        if (ids.length > 0) await tx.delete(jobs).where(inArray(jobs.id, ids));
      });
    },
    async update(id, change) {
      await write((tx) => tx.update(jobs).set(change).where(eq(jobs.id, id)));
    },
  };
}
