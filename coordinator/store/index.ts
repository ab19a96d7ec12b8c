export type { Engine } from './database.js';
export { type FolderLock, lockFolder } from './folder-lock.js';
export { bindFolder, openFolderStore, sqliteFileOf, storeIdSetting } from './folder-store.js';
export type { StoreOptions } from './open-database.js';
export { createStore, openStore, type Store } from './open-store.js';
export type { StoreLog, StoreState } from './outage-patience.js';
export { parsePostgresUrl } from './postgres-address.js';
export {
  createLineDigest,
  type LineSource,
  type StoreRows,
  summarizeRows,
  type TableSummary,
} from './store-rows.js';
