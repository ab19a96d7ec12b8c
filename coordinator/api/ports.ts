/** What the API serves: one interface for each domain behind it. */
import type { FileContentStore } from '@fleetlora/shared/node';
import type {
  Front,
  Health,
  Rollout,
  RolloutStart,
  Search,
  SearchStart,
  Training,
  TrainingStart,
  Trial,
} from '@fleetlora/shared/protocol';
import type { Fleet } from '../fleet/index.js';
import type { Identity } from '../identity/index.js';
import type { Catalog, Releases } from '../models/index.js';

export interface SearchesApi {
  start(spec: SearchStart): Promise<Search>;
  list(): Promise<Search[]>;
  show(idOrName: string): Promise<Search>;
  trials(idOrName: string): Promise<Trial[]>;
  front(idOrName: string): Promise<Front>;
  stop(idOrName: string): Promise<Search>;
}

export interface TrainingsApi {
  start(request: TrainingStart): Promise<Training>;
  list(): Promise<Training[]>;
  show(idOrName: string): Promise<Training>;
  stop(idOrName: string): Promise<Training>;
}

export interface RolloutsApi {
  start(request: RolloutStart): Promise<Rollout>;
  list(): Promise<Rollout[]>;
  show(id: string): Promise<Rollout>;
}

export interface ApiDomains {
  readonly identity: Identity;
  readonly fleet: Pick<Fleet, 'listDevices' | 'showDevice'>;
  readonly files: FileContentStore;
  readonly catalog: Pick<
    Catalog,
    'importBase' | 'listBases' | 'importAdapter' | 'listAdapters' | 'importDataset' | 'listDatasets'
  >;
  readonly trainings: TrainingsApi;
  readonly searches: SearchesApi;
  readonly releases: Pick<Releases, 'create' | 'list' | 'find'>;
  readonly rollouts: RolloutsApi;
  readonly health: () => Promise<Health>;
  /** Addresses under which devices reach the coordinator; known once it listens. */
  readonly urls: () => { readonly url: string; readonly mqttUrl: string };
  /** Folder of uploads under way; on the file system of `files`. */
  readonly incomingFolder: string;
}
