import type {
  Adapter,
  Base,
  Dataset,
  DatasetTask,
  Release,
  Search,
  SignedManifest,
  Trial,
} from '@fleetlora/shared/protocol';
import type { TextRow } from '@fleetlora/shared/text';

/** Makes an id such as "base_01j9…": the prefix, an underscore and a lower-case ULID. */
export type NewId = (prefix: string) => string;

/**
 * Records of bases, super-adapters and data sets. The files they name are in the content store
 * before a record is inserted, so a record never points at nothing.
 * Names are unique within their kind; `insert…` throws ALREADY_EXISTS naming the one taken.
 * Lists run from the oldest record to the newest.
 */
export interface CatalogRepository {
  insertBase(base: Base): Promise<void>;
  /** Changes what is written; harmless for an unknown id. */
  updateBase(id: string, change: Partial<Pick<Base, 'kvHeads' | 'files'>>): Promise<void>;
  listBases(): Promise<Base[]>;
  /** By id or by name, or null. */
  findBase(idOrName: string): Promise<Base | null>;
  insertAdapter(adapter: Adapter): Promise<void>;
  listAdapters(): Promise<Adapter[]>;
  findAdapter(idOrName: string): Promise<Adapter | null>;
  insertDataset(dataset: Dataset): Promise<void>;
  listDatasets(): Promise<Dataset[]>;
  findDataset(idOrName: string): Promise<Dataset | null>;
}

/** Records of releases. `number` and `name` are unique: `insertRelease` throws ALREADY_EXISTS. */
export interface ReleaseRepository {
  /** The largest number given so far, 0 before the first release. */
  lastReleaseNumber(): Promise<number>;
  insertRelease(release: Release): Promise<void>;
  listReleases(): Promise<Release[]>;
  findRelease(idOrName: string): Promise<Release | null>;
}

/** What a release asks a finished search for. */
export interface TrialLookup {
  /**
   * A search and one of its trials.
   * @param search id or name
   * @param trial id, or number or label of the trial; undefined is the point the search chose
   * @throws NOT_FOUND when there is no such search or trial, STATE_CONFLICT when none is chosen yet
   */
  findTrial(search: string, trial: string | undefined): Promise<{ search: Search; trial: Trial }>;
}

/**
 * Tries a task's scorer on expected texts as if they were answers.
 * @param where names the rows in messages
 * @returns what the user should know, as sentences
 * @throws SCORER_INVALID, NOT_FOUND (its module), DATA_LINE naming the row it finds no answer in
 */
export type CheckScorer = (
  task: DatasetTask,
  rows: Iterable<TextRow> | AsyncIterable<TextRow>,
  where?: string,
) => Promise<string[]>;

/** Signs with the coordinator's Ed25519 release key. */
export interface ReleaseSigner {
  /** @param manifest the exact text a device will verify */
  sign(manifest: string): Promise<SignedManifest>;
}
