import { asc, desc, eq, inArray } from 'drizzle-orm';
import type { RolloutRepository, RolloutWithDevices, StoredRollout } from '../rollout/ports.js';
import type { Connection } from './database.js';

export function createRolloutRepository({ tables, reader, write }: Connection): RolloutRepository {
  const { rollouts, rolloutDevices } = tables;
  const keyOf = (rolloutId: string, deviceId: string): string => `${rolloutId}/${deviceId}`;

  async function withDevices(found: readonly StoredRollout[]): Promise<RolloutWithDevices[]> {
    if (found.length === 0) return [];
    const ids = found.map(({ id }) => id);
    const rows = await reader
      .select()
      .from(rolloutDevices)
      .where(inArray(rolloutDevices.rolloutId, ids))
      .orderBy(asc(rolloutDevices.key));
    const byRollout = new Map<string, typeof rows>();
    for (const row of rows) byRollout.set(row.rolloutId, [...(byRollout.get(row.rolloutId) ?? []), row]);
    return found.map((rollout) => ({
      ...rollout,
      devices: (byRollout.get(rollout.id) ?? []).map(({ key: _, ...device }) => device),
    }));
  }

  return {
    insertRollout: (rollout, devices) =>
      write(async (tx) => {
        await tx.insert(rollouts).values(rollout);
        for (const device of devices)
          await tx.insert(rolloutDevices).values({ ...device, key: keyOf(rollout.id, device.deviceId) });
      }),
    async updateRollout(id, state) {
      await write((tx) => tx.update(rollouts).set({ state }).where(eq(rollouts.id, id)));
    },
    async updateRolloutDevice(rolloutId, deviceId, change) {
      const key = keyOf(rolloutId, deviceId);
      await write((tx) => tx.update(rolloutDevices).set(change).where(eq(rolloutDevices.key, key)));
    },
    async findRollout(id) {
      const [found] = await withDevices(await reader.select().from(rollouts).where(eq(rollouts.id, id)));
      return found ?? null;
    },
    async listRollouts() {
      const rows = await reader
        .select()
        .from(rollouts)
        .orderBy(desc(rollouts.createdAtMs), desc(rollouts.id));
      return withDevices(rows);
    },
    async listRunningRollouts() {
      const rows = await reader
        .select()
        .from(rollouts)
        .where(eq(rollouts.state, 'running'))
        .orderBy(asc(rollouts.createdAtMs), asc(rollouts.id));
      return withDevices(rows);
    },
  };
}
