import type { Clock } from '@fleetlora/shared/clock';
import type { RolloutReport } from '@fleetlora/shared/protocol';
import type { Listeners } from './listeners.js';
import type { Downlink, FleetStore, StoredJob } from './ports.js';

export interface FleetLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type ReportHandler = (deviceId: string, report: RolloutReport) => Promise<void>;

/** What the parts of the fleet share. */
export interface FleetContext {
  readonly store: FleetStore;
  readonly downlink: Downlink;
  readonly clock: Clock;
  readonly newId: (prefix: string) => string;
  readonly log: FleetLog;
  /** Called after the end of a job is committed. */
  readonly jobEnded: Listeners<StoredJob>;
  /** Called when a device may have become idle. */
  readonly devicesChanged: Listeners<void>;
  /** Called with the id of a device after its birth is committed. */
  readonly born: Listeners<string>;
  readonly reportHandlers: Set<ReportHandler>;
}
