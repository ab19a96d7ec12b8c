import { eq } from 'drizzle-orm';
import type {
  CodeRepository,
  DeviceRegistry,
  EnrolledDevice,
  SettingsRepository,
} from '../identity/ports.js';
import type { Connection } from './database.js';

export function createSettingsRepository({
  tables: { settings },
  reader,
  write,
}: Connection): SettingsRepository {
  return {
    async read(key) {
      const [row] = await reader.select().from(settings).where(eq(settings.key, key));
      return row?.value ?? null;
    },
    async insert(key, value) {
      await write((tx) => tx.insert(settings).values({ key, value }).onConflictDoNothing());
    },
  };
}

export function createCodeRepository({ tables: { codes }, reader, write }: Connection): CodeRepository {
  return {
    async insert(code) {
      await write((tx) => tx.insert(codes).values(code));
    },
    async find(hash) {
      const [row] = await reader.select().from(codes).where(eq(codes.hash, hash));
      return row ?? null;
    },
    async markUsed(hash, deviceId) {
      await write((tx) => tx.update(codes).set({ deviceId }).where(eq(codes.hash, hash)));
    },
  };
}

/** The devices table as enrolment sees it. */
export function createDeviceRegistry({ tables: { devices }, reader, write }: Connection): DeviceRegistry {
  const columns = {
    id: devices.id,
    name: devices.name,
    deviceClass: devices.deviceClass,
    publicKey: devices.publicKey,
    facts: devices.facts,
    enrolledAtMs: devices.enrolledAtMs,
  };
  return {
    async insertEnrolled(device: EnrolledDevice) {
      await write((tx) => tx.insert(devices).values({ ...device, online: 0 }));
    },
    async findEnrolled(id) {
      const [row] = await reader.select(columns).from(devices).where(eq(devices.id, id));
      return row ?? null;
    },
    async findByPublicKey(publicKey) {
      const [row] = await reader.select(columns).from(devices).where(eq(devices.publicKey, publicKey));
      return row ?? null;
    },
    async isNameTaken(name) {
      const rows = await reader.select({ id: devices.id }).from(devices).where(eq(devices.name, name));
      return rows.length > 0;
    },
  };
}
