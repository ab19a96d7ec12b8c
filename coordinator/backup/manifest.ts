import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

/** Raised when an older release could not read what a newer one writes. */
export const backupVersion = 1;

const Digest = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** First entry of a backup: what must follow, byte by byte. */
export const BackupManifest = Type.Object({
  format: Type.Literal('fleetlora-backup'),
  version: Type.Integer({ minimum: 1 }),
  /** Release that wrote it. */
  fleetlora: Type.String({ maxLength: 64 }),
  /** Engine the rows came from; they can go into either. */
  engine: Type.String({ maxLength: 32 }),
  createdAtMs: Count,
  /** Rows and their digest (sum of the SHA-256 of each line) by table. */
  tables: Type.Array(
    Type.Object({ table: Type.String({ pattern: '^[a-z_]{1,64}$' }), rows: Count, digest: Digest }),
    { maxItems: 256 },
  ),
  /** Every other entry, in order. */
  files: Type.Array(Type.Object({ path: Type.String({ maxLength: 200 }), bytes: Count, sha256: Digest })),
});
export type BackupManifest = Static<typeof BackupManifest>;
export type BackupFile = BackupManifest['files'][number];

/** A manifest lists every stored file in about 150 bytes: room for some 400,000. */
export const manifestBytesAtMost = 64 * 1024 * 1024;

/**
 * Paths that a backup may hold, relative to the data folder; nothing else is ever written, whatever
 * the archive says.
 */
const allowedPaths = [
  /^tables\/[a-z_]{1,64}\.jsonl$/,
  /^admin-token$/,
  /^secrets\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/,
  /^training\/[A-Za-z0-9_-]{1,64}\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/,
  /^content\/[0-9a-f]{64}$/,
];

/** @throws BACKUP_INVALID */
export function parseManifest(bytes: Uint8Array): BackupManifest {
  let manifest: unknown;
  try {
    manifest = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new CodedError('BACKUP_INVALID', `its manifest.json cannot be read: ${messageOf(error)}`);
  }
  if (!Value.Check(BackupManifest, manifest)) {
    const [first] = Value.Errors(BackupManifest, manifest);
    throw new CodedError(
      'BACKUP_INVALID',
      `its manifest.json: ${first?.instancePath ?? ''} ${first?.message ?? 'does not fit'}`,
    );
  }
  if (manifest.version > backupVersion)
    throw new CodedError(
      'BACKUP_INVALID',
      `it has version ${manifest.version} (of fleetlora ${manifest.fleetlora}), this release reads up to ${backupVersion}`,
    );
  const seen = new Set<string>();
  for (const { path, sha256 } of manifest.files) {
    if (!allowedPaths.some((pattern) => pattern.test(path)))
      throw new CodedError('BACKUP_INVALID', `"${path.slice(0, 120)}" is no path of a backup`);
    if (seen.has(path)) throw new CodedError('BACKUP_INVALID', `${path} is there twice`);
    if (path.startsWith('content/') && path !== `content/${sha256}`)
      throw new CodedError('BACKUP_INVALID', `${path} is not named by its digest`);
    seen.add(path);
  }
  return manifest;
}
