/** What retention needs from the rest of the coordinator: the records, and a way to drop some. */
import type { Retention, RunState } from '@fleetlora/shared/protocol';

/** A stored file that a record names. */
export interface NamedContent {
  readonly digest: string;
  /** Who needs it, for people: `base "tiny"`. */
  readonly by: string;
}

/** A search that is over. */
export interface EndedSearch {
  readonly id: string;
  readonly name: string;
  readonly endedAtMs: number;
  /** A release that names it; then the search stays. */
  readonly release: string | null;
}

/** What a search takes in the database, as text. */
export interface SearchWeight {
  readonly trials: number;
  readonly jobs: number;
  readonly rowBytes: number;
  /** Of that, raw samples. */
  readonly sampleBytes: number;
}

/** A training run, as far as its checkpoint is concerned. */
export interface TrainingFacts {
  readonly id: string;
  readonly name: string;
  readonly state: RunState;
}

/** Every method is one transaction unless it says otherwise. */
export interface RetentionRepository {
  /** What was set last; null before anything was. */
  readSettings(): Promise<Retention | null>;
  writeSettings(retention: Retention): Promise<void>;
  /** When garbage was last collected by itself; null before it was. */
  readLastRunMs(): Promise<number | null>;
  writeLastRunMs(lastRunMs: number): Promise<void>;

  /**
   * Every stored file that a base, adapter, data set, release, rollout or unfinished job names; one
   * file may be named several times.
   */
  listNamedContent(): Promise<NamedContent[]>;
  listTrainings(): Promise<TrainingFacts[]>;
  /** Searches that ended at `ms` or before, the longest over first. */
  listSearchesEndedBy(ms: number): Promise<EndedSearch[]>;
  /** Reads all of the search page by page, so in several transactions. */
  weighSearch(id: string): Promise<SearchWeight>;
  /** Whether a trial of the search still has raw samples. */
  hasSamples(id: string): Promise<boolean>;

  /**
   * Empties the raw samples of an ended search in its trials and jobs; percentiles and counts stay.
   * In several transactions: what a crash left is done by the next call.
   */
  dropSamples(id: string): Promise<void>;
  /**
   * Deletes a search with its trials and jobs.
   * @returns false, and nothing is changed, while it is unfinished, has an unfinished job or is named
   *   by a release
   */
  deleteSearch(id: string): Promise<boolean>;
}
