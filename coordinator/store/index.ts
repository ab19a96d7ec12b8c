import type { CampaignRepository } from '../campaign/ports.js';
import type { FleetStore } from '../fleet/ports.js';
import type { IdentityStore } from '../identity/ports.js';
import type { CatalogRepository, ReleaseRepository } from '../models/ports.js';
import type { RolloutRepository } from '../rollout/ports.js';
import type { TrainingRepository } from '../training/ports.js';
import { createCampaignRepository } from './campaign-repository.js';
import { createCatalogRepository } from './catalog-repository.js';
import { type Connection, type Database, openDatabase } from './database.js';
import { createDeviceRepository } from './device-repository.js';
import {
  createCodeRepository,
  createDeviceRegistry,
  createSettingsRepository,
} from './identity-repositories.js';
import { createJobRepository } from './job-repository.js';
import { createPolicyRepository } from './policy-repository.js';
import { createReleaseRepository } from './release-repository.js';
import { createRolloutRepository } from './rollout-repository.js';
import { createTrainingRepository } from './training-repository.js';

export { type FolderLock, lockFolder } from './folder-lock.js';

/** Everything the domains remember, one member for each domain's ports. */
export interface Store {
  readonly identity: IdentityStore;
  readonly fleet: FleetStore;
  readonly catalog: CatalogRepository;
  readonly releases: ReleaseRepository;
  readonly campaign: CampaignRepository;
  readonly rollouts: RolloutRepository;
  readonly trainings: TrainingRepository;
  close(): Promise<void>;
}

/** The embedded store: one SQLite file, made and migrated when needed. */
export async function openStore(path: string): Promise<Store> {
  return createStore(await openDatabase(path));
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
    close: () => database.close(),
  };
}
