/** What the API serves: one interface for each domain behind it. */
import type { Readable } from 'node:stream';
import type { FileContentStore } from '@fleetlora/shared/node';
import type {
  AdapterTune,
  Front,
  Health,
  Rollout,
  RolloutStart,
  Search,
  SearchStart,
  Training,
  TrainingStart,
  Trial,
  TrialComparison,
} from '@fleetlora/shared/protocol';
import type { Fleet } from '../fleet/index.js';
import type { Identity } from '../identity/index.js';
import type { Catalog, Releases } from '../models/index.js';
import type { RetentionKeeper } from '../retention/index.js';

export interface SearchesApi {
  start(spec: SearchStart): Promise<Search>;
  list(): Promise<Search[]>;
  show(idOrName: string): Promise<Search>;
  trials(idOrName: string): Promise<Trial[]>;
  front(idOrName: string): Promise<Front>;
  /** Each names a trial as SEARCH:TRIAL. */
  compare(a: string, b: string): Promise<TrialComparison>;
  stop(idOrName: string): Promise<Search>;
}

export interface TrainingsApi {
  start(request: TrainingStart): Promise<Training>;
  tune(adapter: string, request: AdapterTune): Promise<Training>;
  list(): Promise<Training[]>;
  show(idOrName: string): Promise<Training>;
  stop(idOrName: string): Promise<Training>;
}

export interface RolloutsApi {
  start(request: RolloutStart): Promise<Rollout>;
  list(): Promise<Rollout[]>;
  show(id: string): Promise<Rollout>;
}

/** Whether what the domains remember can be read and written at present. */
export type StoreState =
  | { readonly available: true }
  | { readonly available: false; readonly code: 'STORE_UNAVAILABLE' | 'DISK_FULL' };

export interface ApiDomains {
  readonly store: {
    state(): StoreState;
    /** Calls the listener at every change; returns how to stop that. */
    onState(listener: (state: StoreState) => void): () => void;
  };
  readonly identity: Identity;
  readonly fleet: Pick<Fleet, 'listDevices' | 'showDevice' | 'setLabels' | 'qualify' | 'policies'>;
  readonly files: FileContentStore;
  readonly catalog: Pick<
    Catalog,
    | 'importBase'
    | 'pruneBase'
    | 'mergeAdapter'
    | 'listBases'
    | 'quantiseBase'
    | 'importAdapter'
    | 'exportAdapter'
    | 'listAdapters'
    | 'importDataset'
    | 'listDatasets'
    | 'findDataset'
  >;
  readonly trainings: TrainingsApi;
  readonly searches: SearchesApi;
  readonly releases: Pick<Releases, 'create' | 'list' | 'find'>;
  readonly rollouts: RolloutsApi;
  readonly backups: {
    /** A tar archive of everything; see the domain. */
    open(): Promise<Readable>;
  };
  readonly retention: Pick<RetentionKeeper, 'show' | 'set' | 'collect'>;
  readonly health: () => Promise<Health>;
  /** Addresses under which devices reach the coordinator; known once it listens. */
  readonly urls: () => { readonly url: string; readonly mqttUrl: string };
  /** Folder of uploads under way; on the file system of `files`. */
  readonly incomingFolder: string;
}
