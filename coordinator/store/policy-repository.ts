import type { PolicyScope } from '@fleetlora/shared/protocol';
import { asc, eq } from 'drizzle-orm';
import type { PolicyRepository } from '../fleet/ports.js';
import type { Connection } from './database.js';

const keyOf = ({ kind, name }: PolicyScope): string => `${kind}/${name}`;

/** Device policies, one for each class or label. */
export function createPolicyRepository({
  tables: { policies },
  reader,
  write,
}: Connection): PolicyRepository {
  return {
    async list() {
      const rows = await reader.select().from(policies).orderBy(asc(policies.key));
      return rows.map(({ kind, name, policy, updatedAtMs }) => ({
        scope: { kind, name },
        policy,
        updatedAtMs,
      }));
    },
    async set({ scope, policy, updatedAtMs }) {
      const row = { key: keyOf(scope), ...scope, policy, updatedAtMs };
      await write((tx) =>
        tx
          .insert(policies)
          .values(row)
          .onConflictDoUpdate({ target: policies.key, set: { policy, updatedAtMs } }),
      );
    },
    async remove(scope) {
      const rows = await write((tx) =>
        tx
          .delete(policies)
          .where(eq(policies.key, keyOf(scope)))
          .returning({ key: policies.key }),
      );
      return rows.length > 0;
    },
  };
}
