/** What identity needs to remember. The store implements it. */
import type { DeviceFacts } from '@fleetlora/shared/protocol';

/** Facts about the coordinator itself. */
export interface SettingsRepository {
  read(key: string): Promise<string | null>;
  /** Stores the value unless the key has one. */
  insert(key: string, value: string): Promise<void>;
}

export interface StoredCode {
  /** SHA-256 of the normalised code, hex. */
  readonly hash: string;
  /** Class of the devices it enrols; null: derived from the device's own facts. */
  readonly deviceClass: string | null;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** The device that used it. */
  readonly deviceId: string | null;
}

export interface CodeRepository {
  insert(code: StoredCode): Promise<void>;
  find(hash: string): Promise<StoredCode | null>;
  markUsed(hash: string, deviceId: string): Promise<void>;
}

/** A device as enrolment knows it. */
export interface EnrolledDevice {
  readonly id: string;
  readonly name: string;
  readonly deviceClass: string;
  /** P-256 SPKI DER, base64. */
  readonly publicKey: string;
  readonly facts: DeviceFacts;
  readonly enrolledAtMs: number;
}

export interface DeviceRegistry {
  insertEnrolled(device: EnrolledDevice): Promise<void>;
  findEnrolled(id: string): Promise<EnrolledDevice | null>;
  findByPublicKey(publicKey: string): Promise<EnrolledDevice | null>;
  isNameTaken(name: string): Promise<boolean>;
}

export interface IdentityRepositories {
  readonly settings: SettingsRepository;
  readonly codes: CodeRepository;
  readonly devices: DeviceRegistry;
}

export interface IdentityStore extends IdentityRepositories {
  /** Runs the work as one transaction: all of it is durable, or none when it throws. */
  transact<T>(work: (repositories: IdentityRepositories) => Promise<T>): Promise<T>;
}
