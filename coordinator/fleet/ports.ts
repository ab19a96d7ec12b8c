/** What the fleet needs from the rest of the coordinator: a memory, and a way to speak to devices. */
import type {
  Conditions,
  DeviceFacts,
  DownKind,
  JobResult,
  MeasureJob,
  MessageBody,
  PolicyScope,
  Qualification,
  QualifyJob,
  Quarantine,
  ScopedPolicy,
} from '@fleetlora/shared/protocol';

/**
 * QUEUED waits for its device to be online and its machine to be free; SENT was handed to the
 * device; all others are final.
 */
export const unfinishedJobStates = ['QUEUED', 'SENT'] as const;
export const finalJobStates = [
  'SUCCEEDED',
  'FAILED',
  'INFEASIBLE',
  'REJECTED',
  'CANCELED',
  'TIMED_OUT',
  'POSTPONED',
] as const;
export type FinalJobState = (typeof finalJobStates)[number];
export type JobState = (typeof unfinishedJobStates)[number] | FinalJobState;

/** What a job is for: candidates of a search, its sentinel, or the question whether a device is steady. */
export const jobKinds = ['trial', 'sentinel', 'qualification'] as const;
export type JobKind = (typeof jobKinds)[number];
/** A message body but for the id. */
export type JobBody = Omit<MeasureJob, 'jobId'> | Omit<QualifyJob, 'jobId'>;

export interface StoredJob {
  readonly id: string;
  readonly kind: JobKind;
  /** "" for a qualification. */
  readonly searchId: string;
  /** Of the candidates in `body`, in their order; none but for kind `trial`. */
  readonly trialIds: readonly string[];
  readonly deviceId: string;
  readonly state: JobState;
  readonly body: JobBody;
  /** How often the job was handed to the device. */
  readonly sends: number;
  readonly createdAtMs: number;
  /** First time it was handed over; the hard timeout runs from here. */
  readonly sentAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly result: JobResult | null;
  /** Why it ended without a measurement. */
  readonly reason: string | null;
}

export interface StoredQualification extends Qualification {
  readonly atMs: number;
}

export interface StoredDevice {
  readonly id: string;
  readonly name: string;
  readonly deviceClass: string;
  readonly facts: DeviceFacts;
  readonly enrolledAtMs: number;
  readonly online: boolean;
  /** Session of the last birth; a death counts only for this one. */
  readonly session: number | null;
  readonly lastSeenAtMs: number | null;
  readonly installedReleaseId: string | null;
  readonly serveUrl: string | null;
  readonly labels: readonly string[];
  /** What the device last said of its policy; null before it did. */
  readonly conditions: Conditions | null;
  readonly qualification: StoredQualification | null;
  readonly quarantine: Quarantine | null;
}

export interface DeviceRepository {
  find(id: string): Promise<StoredDevice | null>;
  findByIdOrName(idOrName: string): Promise<StoredDevice | null>;
  /** By enrolment, oldest first. */
  list(): Promise<StoredDevice[]>;
  update(
    id: string,
    change: Partial<Omit<StoredDevice, 'id' | 'name' | 'deviceClass' | 'enrolledAtMs'>>,
  ): Promise<void>;
  markAllOffline(): Promise<void>;
}

export interface JobRepository {
  insert(job: StoredJob): Promise<void>;
  find(id: string): Promise<StoredJob | null>;
  /** Jobs that are QUEUED or SENT, oldest first; of one device when given. */
  listUnfinished(deviceId?: string): Promise<StoredJob[]>;
  /** Every job of the search, or those of a kind, oldest first. */
  listOfSearch(searchId: string, kind?: JobKind): Promise<StoredJob[]>;
  /** Deletes the ended qualifications of a device but for the newest `kept`. */
  deleteQualifications(deviceId: string, kept: number): Promise<void>;
  update(
    id: string,
    change: Partial<Pick<StoredJob, 'state' | 'sends' | 'sentAtMs' | 'endedAtMs' | 'result' | 'reason'>>,
  ): Promise<void>;
}

export interface PolicyRepository {
  /** By scope: classes first, then labels, each by name. */
  list(): Promise<ScopedPolicy[]>;
  /** Replaces the policy of the scope. */
  set(policy: ScopedPolicy): Promise<void>;
  /** False when there was none. */
  remove(scope: PolicyScope): Promise<boolean>;
}

export interface FleetRepositories {
  readonly devices: DeviceRepository;
  readonly policies: PolicyRepository;
  readonly jobs: JobRepository;
}

export interface FleetStore extends FleetRepositories {
  /**
   * Runs the work as one transaction: all of it is durable, or none when it throws. Transactions
   * run one after another, so what is read inside one holds until it ends.
   */
  transact<T>(work: (repositories: FleetRepositories) => Promise<T>): Promise<T>;
}

/** The way to devices. */
export interface Downlink {
  /** Hands a message to the transport. Nothing tells whether it arrived: the device's answer does. */
  send<K extends DownKind>(deviceId: string, kind: K, body: MessageBody<K>): Promise<void>;
}
