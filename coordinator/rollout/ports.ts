/** What a rollout needs from the rest of the coordinator. */
import type { Desired, Release, Rollout, RolloutDevice, RolloutReport } from '@fleetlora/shared/protocol';

/** One device of a rollout. */
export interface StoredRolloutDevice extends RolloutDevice {
  readonly rolloutId: string;
  /** When the device was last sent `desired`; null while that is owed. */
  readonly sentAtMs: number | null;
}
export interface StoredRollout {
  readonly id: string;
  readonly releaseId: string;
  readonly state: Rollout['state'];
  /** Digest of the signed manifest, as the device is told it. */
  readonly manifestDigest: string;
  readonly createdAtMs: number;
}
export interface RolloutWithDevices extends StoredRollout {
  readonly devices: readonly StoredRolloutDevice[];
}

/** Every method is one transaction, durable when its promise resolves. */
export interface RolloutRepository {
  /** Stores a rollout and its devices. */
  insertRollout(rollout: StoredRollout, devices: readonly StoredRolloutDevice[]): Promise<void>;
  updateRollout(id: string, state: Rollout['state']): Promise<void>;
  updateRolloutDevice(
    rolloutId: string,
    deviceId: string,
    change: Partial<Omit<StoredRolloutDevice, 'rolloutId' | 'deviceId' | 'name'>>,
  ): Promise<void>;
  findRollout(id: string): Promise<RolloutWithDevices | null>;
  /** Newest first. */
  listRollouts(): Promise<RolloutWithDevices[]>;
  /** Rollouts in state running, oldest first. */
  listRunningRollouts(): Promise<RolloutWithDevices[]>;
}

export interface RolloutTarget {
  readonly id: string;
  readonly name: string;
  readonly online: boolean;
}

export interface RolloutFleet {
  /** Enrolled devices, of one class when given. */
  listTargets(deviceClass?: string): Promise<RolloutTarget[]>;
  /** @param idOrName @throws NOT_FOUND */
  findTarget(idOrName: string): Promise<RolloutTarget>;
  /** Sends `desired` to the device. @throws DEVICE_OFFLINE */
  sendDesired(deviceId: string, desired: Desired): Promise<void>;
  /**
   * Registers the handler of rollout reports. A report is acknowledged to its device after the
   * handler's promise resolves; when it rejects the device will send the report again.
   */
  onReport(handler: (deviceId: string, report: RolloutReport) => Promise<void>): () => void;
  /** Calls the listener at every birth of a device. */
  onBirth(listener: (deviceId: string) => void): () => void;
}

export interface RolloutReleases {
  /** @throws NOT_FOUND */
  findRelease(idOrName: string): Promise<Release>;
}
