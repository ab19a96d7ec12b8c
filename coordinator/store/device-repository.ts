import { asc, eq, or } from 'drizzle-orm';
import type { DeviceRepository, StoredDevice } from '../fleet/ports.js';
import type { Connection } from './database.js';
import { pickNamed } from './named-records.js';
import type { Tables } from './schemas/tables.js';

type Row = Tables['devices']['$inferSelect'];
const fromRow = ({ publicKey: _, online, ...row }: Row): StoredDevice => ({
  ...row,
  online: online === 1,
  labels: row.labels ?? [],
});

/** The devices table as the fleet sees it. */
export function createDeviceRepository({ tables: { devices }, reader, write }: Connection): DeviceRepository {
  return {
    async find(id) {
      const [row] = await reader.select().from(devices).where(eq(devices.id, id));
      return row ? fromRow(row) : null;
    },
    async findByIdOrName(idOrName) {
      const rows = await reader
        .select()
        .from(devices)
        .where(or(eq(devices.id, idOrName), eq(devices.name, idOrName)));
      const row = pickNamed(rows, idOrName);
      return row ? fromRow(row) : null;
    },
    async list() {
      const rows = await reader.select().from(devices).orderBy(asc(devices.enrolledAtMs), asc(devices.id));
      return rows.map(fromRow);
    },
    async update(id, { online, labels, ...change }) {
      const columns = {
        ...change,
        ...(labels && { labels: [...labels] }),
        ...(online !== undefined && { online: online ? 1 : 0 }),
      };
      await write((tx) => tx.update(devices).set(columns).where(eq(devices.id, id)));
    },
    async markAllOffline() {
      await write((tx) => tx.update(devices).set({ online: 0 }).where(eq(devices.online, 1)));
    },
  };
}
