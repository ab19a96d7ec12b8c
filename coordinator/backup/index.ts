export { type BackupOptions, type Backups, createBackups } from './create-backups.js';
export type { BackupManifest } from './manifest.js';
export { type MovedStore, moveStore } from './move-store.js';
export { type Restored, restoreBackup } from './restore-backup.js';
