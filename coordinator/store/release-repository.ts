import { asc, eq, max, or } from 'drizzle-orm';
import type { ReleaseRepository } from '../models/ports.js';
import type { Connection } from './database.js';
import { pickNamed, requireInserted } from './named-records.js';

export function createReleaseRepository({
  tables: { releases },
  reader,
  write,
}: Connection): ReleaseRepository {
  return {
    async lastReleaseNumber() {
      const [row] = await reader.select({ last: max(releases.number) }).from(releases);
      return Number(row?.last ?? 0);
    },
    async insertRelease(release) {
      const rows = await write((tx) =>
        tx.insert(releases).values(release).onConflictDoNothing().returning({ id: releases.id }),
      );
      requireInserted(rows, `a release named "${release.name}" or with number ${release.number}`);
    },
    listReleases: () => reader.select().from(releases).orderBy(asc(releases.number)),
    async findRelease(idOrName) {
      const named = or(eq(releases.id, idOrName), eq(releases.name, idOrName));
      return pickNamed(await reader.select().from(releases).where(named), idOrName);
    },
  };
}
