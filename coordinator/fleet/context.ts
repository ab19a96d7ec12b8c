import type { Clock } from '@fleetlora/shared/clock';
import type { RolloutReport } from '@fleetlora/shared/protocol';
import type { HostMeasuring } from '../host/index.js';
import type { JobProgress } from './job-progress.js';
import type { Listeners } from './listeners.js';
import type { Downlink, FleetStore, StoredJob } from './ports.js';
import type { Postponements } from './postponements.js';
import type { QualifyTime } from './qualify-devices.js';
import type { QualifyWants } from './qualify-wants.js';

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
  /** The coordinator's own machine, which devices may share. */
  readonly host: HostMeasuring;
  /** Called after the end of a job is committed. */
  readonly jobEnded: Listeners<StoredJob>;
  /** Called when a device may have become idle. */
  readonly devicesChanged: Listeners<void>;
  /** Called with the id of a device after its birth is committed. */
  readonly born: Listeners<string>;
  readonly reportHandlers: Set<ReportHandler>;
  /** Tells devices, those that are online, the policies that apply to them. */
  readonly tellPolicies: (deviceIds: readonly string[]) => Promise<void>;
  /** By device and the monotonic clock; not stored, since every birth says the conditions anew. */
  readonly conditionsToldAtMs: Map<string, number>;
  readonly postponements: Postponements;
  readonly progress: JobProgress;
  readonly qualify: QualifyTime;
  readonly wants: QualifyWants;
  /**
   * When each search last got a machine, for `planDispatch`. Not stored: after a restart the order
   * of turns begins anew, which costs a search one turn at most.
   */
  readonly lastServed: Map<string, number>;
}
