/**
 * What a campaign needs from the rest of the coordinator. The store implements the repository,
 * the fleet hands out devices, the catalog resolves names, evaluation scores accuracy.
 */
import type {
  Adapter,
  Base,
  Dataset,
  DatasetSplit,
  MeasureJob,
  Measurement,
  Search,
  SplitName,
  Trial,
} from '@fleetlora/shared/protocol';
import type { SearchSpaceFile } from '@fleetlora/shared/space';
import type { RowScore, RowSet } from '../evaluation/index.js';

export interface StoredSearch {
  readonly id: string;
  /** Unique among searches. */
  readonly name: string;
  readonly state: Search['state'];
  readonly spec: Search['spec'];
  readonly adapterId: string;
  readonly datasetId: string;
  /** The space file in force: the spec's, or else the adapter's at the start. */
  readonly space: SearchSpaceFile;
  readonly spaceSize: number;
  readonly reason: string | null;
  /** Set when the search ends. */
  readonly chosenTrialId: string | null;
  readonly chosenReason: string | null;
  readonly createdAtMs: number;
  readonly endedAtMs: number | null;
}

/**
 * A trial row. `askedSequence` and `toldSequence` number the events between campaign and strategy
 * within one search, without a gap: replaying them in order rebuilds the strategy's state exactly.
 */
export interface StoredTrial extends Trial {
  readonly searchId: string;
  readonly askedSequence: number;
  /** Null until the strategy was told how the trial ended. */
  readonly toldSequence: number | null;
  readonly createdAtMs: number;
}

/** Every method is one transaction, durable when its promise resolves. */
export interface CampaignRepository {
  /** @throws ALREADY_EXISTS when the name is taken */
  insertSearch(search: StoredSearch): Promise<void>;
  updateSearch(
    id: string,
    change: Partial<Pick<StoredSearch, 'state' | 'reason' | 'chosenTrialId' | 'chosenReason' | 'endedAtMs'>>,
  ): Promise<void>;
  findSearch(idOrName: string): Promise<StoredSearch | null>;
  /** Newest first. */
  listSearches(): Promise<StoredSearch[]>;
  /** Searches in state running or finalizing, oldest first. */
  listUnfinishedSearches(): Promise<StoredSearch[]>;
  insertTrial(trial: StoredTrial): Promise<void>;
  updateTrial(
    id: string,
    change: Partial<
      Pick<
        StoredTrial,
        | 'state'
        | 'deviceId'
        | 'score'
        | 'finalScore'
        | 'measurement'
        | 'correction'
        | 'reason'
        | 'toldSequence'
      >
    >,
  ): Promise<void>;
  /** By number, ascending. */
  listTrials(searchId: string): Promise<StoredTrial[]>;
  /** Trials of a search counted by state; a state without trials may be missing. */
  countTrials(searchId: string): Promise<Partial<Record<Trial['state'], number>>>;
}

export interface IdleDevice {
  readonly id: string;
  /** "" when the device cannot tell. */
  readonly bootId: string;
  /** Null before it was asked, and when its agent, runtime or processor is another since. */
  readonly qualification: DeviceSteadiness | null;
  /** Whether its agent knows batches, and plans with sessions: from 0.3 on. */
  readonly takesBatches: boolean;
}

/** What a device's qualification found, and when. */
export interface DeviceSteadiness {
  readonly accepted: boolean;
  readonly spreadPercent: number;
  readonly atMs: number;
}

/** What people are told of a device that measured for a search, whether it is there or not. */
export interface DeviceRecord {
  readonly id: string;
  readonly name: string;
  /** As of an idle device. */
  readonly qualification: DeviceSteadiness | null;
  /** Why it is in quarantine. */
  readonly quarantine: { readonly reason: string } | null;
}

/** A job as the campaign sees it. `end` is null while the job is queued or with its device. */
export interface TrialJob {
  readonly jobId: string;
  readonly kind: 'trial' | 'sentinel';
  readonly searchId: string;
  /** Of its candidates in their order; none of a sentinel's. */
  readonly trialIds: readonly string[];
  readonly deviceId: string;
  readonly bootId: string;
  readonly end: JobEnd | null;
  /** When that was stored, by the coordinator's clock. */
  readonly endedAtMs: number | null;
}

export type JobEnd =
  /** One measurement a candidate, in their order. */
  | { readonly outcome: 'measured'; readonly measurements: readonly Measurement[] }
  | {
      readonly outcome: 'infeasible' | 'failed' | 'rejected' | 'canceled' | 'timedOut' | 'postponed';
      readonly reason: string;
    };

export interface JobSubmission {
  readonly kind: 'trial' | 'sentinel';
  readonly searchId: string;
  readonly trialIds: readonly string[];
  readonly deviceId: string;
  /** Unfinished jobs of the search that the device may have, this one included; 1 when absent. */
  readonly ahead?: number;
  readonly body: Omit<MeasureJob, 'jobId'>;
}

export interface CampaignFleet {
  /**
   * Online devices of the class, not in quarantine, without an unfinished job, in a stable order; with `queue` those
   * that have fewer than `ahead` unfinished jobs of that search.
   */
  idleDevices(
    deviceClass: string,
    queue?: { readonly searchId: string; readonly ahead: number },
  ): Promise<IdleDevice[]>;
  /**
   * Stores a job for the device and sends it once the device's machine is free; durable when the
   * promise resolves (to the job id).
   * A job always ends: `timedOut` comes even when its device never returns.
   * @throws DEVICE_OFFLINE, STATE_CONFLICT (the device has `ahead` unfinished jobs of the search): nothing was stored
   */
  submit(submission: JobSubmission): Promise<string>;
  /** Ends an unfinished job as canceled and tells the device; harmless when it is over. */
  cancel(jobId: string): Promise<void>;
  /** Every job ever submitted for the search, or those of a kind, oldest first. */
  jobsOfSearch(searchId: string, kind?: TrialJob['kind']): Promise<TrialJob[]>;
  /** The devices of these ids that there are, in no order. */
  describeDevices(ids: readonly string[]): Promise<DeviceRecord[]>;
  /**
   * Gives the device no more candidates, of any search, until it qualifies anew: it is asked at
   * once, and again and again with growing pauses. Harmless when it is in quarantine already.
   */
  quarantine(deviceId: string, reason: string): Promise<void>;
  /** Calls the listener once a job's end is committed (`end` is not null). */
  onJobEnded(listener: (job: TrialJob) => void): () => void;
  /** Calls the listener when a device may have become idle: came online, finished a job, left quarantine. */
  onDevicesChanged(listener: () => void): () => void;
}

/** A split of a data set and how many of its (shuffled) rows come before those that are meant. */
export interface ChosenSplit extends DatasetSplit {
  readonly name: SplitName;
  readonly skip: number;
}

/** The catalog's look-ups. @throws NOT_FOUND */
export interface CampaignModels {
  findAdapter(idOrName: string): Promise<Adapter>;
  findBase(idOrName: string): Promise<Base>;
  findDataset(idOrName: string): Promise<Dataset>;
  /**
   * The split that candidates are compared on, or that the front is scored again on.
   * @throws BAD_REQUEST when the data set has none
   */
  splitFor(dataset: Dataset, use: 'score' | 'final', scoreRows?: number): ChosenSplit;
}

/** Scores a candidate on rows, in their order. Never blocks the event loop. */
export interface CampaignEvaluation {
  /** Requests worked on at the same time. */
  readonly parallel: number;
  score(request: {
    readonly baseDigest: string;
    readonly adapterDigest: string;
    readonly genome: string;
    readonly rows: RowSet;
    readonly numbers: 'slices' | 'package';
  }): Promise<RowScore[]>;
}
