import type { CampaignRepository } from '../campaign/ports.js';
import type { FleetStore } from '../fleet/ports.js';
import type { IdentityStore } from '../identity/ports.js';
import type { CatalogRepository, ReleaseRepository } from '../models/ports.js';
import type { RetentionRepository } from '../retention/ports.js';
import type { RolloutRepository } from '../rollout/ports.js';
import type { TrainingRepository } from '../training/ports.js';
import { createCampaignRepository } from './campaign-repository.js';
import { createCatalogRepository } from './catalog-repository.js';
import type { Connection, Database, Engine } from './database.js';
import { createDeviceRepository } from './device-repository.js';
import {
  createCodeRepository,
  createDeviceRegistry,
  createSettingsRepository,
} from './identity-repositories.js';
import { createJobRepository } from './job-repository.js';
import { openDatabase, type StoreOptions } from './open-database.js';
import type { StoreState } from './outage-patience.js';
import { createPolicyRepository } from './policy-repository.js';
import { createReleaseRepository } from './release-repository.js';
import { createRetentionRepository } from './retention-repository.js';
import { createRolloutRepository } from './rollout-repository.js';
import { createStoreRows, type StoreRows } from './store-rows.js';
import { createTrainingRepository } from './training-repository.js';

/** Everything the domains remember, one member for each domain's ports. */
export interface Store {
  readonly identity: IdentityStore;
  readonly fleet: FleetStore;
  readonly catalog: CatalogRepository;
  readonly releases: ReleaseRepository;
  readonly campaign: CampaignRepository;
  readonly rollouts: RolloutRepository;
  readonly trainings: TrainingRepository;
  readonly retention: RetentionRepository;
  /** The rows themselves, for carrying them elsewhere. */
  readonly rows: StoreRows;
  /** The database in words, for people: its file, or name and host, never a password. */
  readonly description: string;
  readonly engine: Engine;
  /** Whether the database can be read and written at present. */
  state(): StoreState;
  /** Calls the listener at every change of the state; returns how to stop that. */
  onState(listener: (state: StoreState) => void): () => void;
  /** From now on an outage is thrown in place of being waited for: the coordinator is stopping. */
  stopWaiting(): void;
  close(): Promise<void>;
}

/**
 * Opens the store, made and brought up to date when needed.
 *
 * Its reads and transactions wait while the database cannot be reached or its disk is full, and
 * run again until they work; a transaction's work must therefore change nothing but the database.
 * @param place path of a SQLite file, or a postgres:// URL
 * @throws BAD_USAGE (URL), STORE_UNAVAILABLE, DISK_FULL, FOLDER_IN_USE (PostgreSQL; a folder has its own lock)
 */
export async function openStore(place: string, options: StoreOptions = {}): Promise<Store> {
  return createStore(await openDatabase(place, options));
}

/** The repositories over an open database of either engine. */
export function createStore(database: Database): Store {
  const identity = (connection: Connection) => ({
    settings: createSettingsRepository(connection),
    codes: createCodeRepository(connection),
    devices: createDeviceRegistry(connection),
  });
  const fleet = (connection: Connection) => ({
    devices: createDeviceRepository(connection),
    jobs: createJobRepository(connection),
    policies: createPolicyRepository(connection),
  });
  return {
    identity: {
      ...identity(database),
      transact: (work) => database.transact((connection) => work(identity(connection))),
    },
    fleet: {
      ...fleet(database),
      transact: (work) => database.transact((connection) => work(fleet(connection))),
    },
    catalog: createCatalogRepository(database),
    releases: createReleaseRepository(database),
    campaign: createCampaignRepository(database),
    rollouts: createRolloutRepository(database),
    trainings: createTrainingRepository(database),
    retention: createRetentionRepository(database),
    rows: createStoreRows(database),
    description: database.description,
    engine: database.engine,
    state: database.state,
    onState: database.onState,
    stopWaiting: database.stopWaiting,
    close: () => database.close(),
  };
}
