import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
import { orDiskFull } from '@fleetlora/shared/node';
import { extract as createExtract, type Header } from 'tar-stream';
import {
  bindFolder,
  openStore,
  parsePostgresUrl,
  type Store,
  sqliteFileOf,
  summarizeRows,
} from '../store/index.js';
import { type BackupFile, type BackupManifest, manifestBytesAtMost, parseManifest } from './manifest.js';
import { readLines } from './read-lines.js';

export interface Restored {
  readonly manifest: BackupManifest;
  readonly rows: number;
  readonly bytes: number;
  /** Where the rows are now, in words. */
  readonly database: string;
}

/**
 * Makes a data folder from a backup: unpacks beside it, checks every byte and every row, and only
 * then gives it its name. No coordinator may run on it; there is none, since it is not there yet.
 * @param folder must not exist, or be empty
 * @param databaseUrl an empty PostgreSQL database for the rows, or null for a SQLite file in the folder
 * @throws BACKUP_INVALID when the archive is cut short, damaged or not one of ours, NOT_FOUND,
 *   STATE_CONFLICT (folder or database not empty), DISK_FULL; then nothing is left
 */
export async function restoreBackup(
  file: string,
  folder: string,
  databaseUrl: string | null,
): Promise<Restored> {
  if (databaseUrl !== null) parsePostgresUrl(databaseUrl);
  const target = resolve(folder);
  await requireVacant(target);
  await mkdir(dirname(target), { recursive: true });
  const beside = join(dirname(target), `.${basename(target)}.${randomUUID()}.restoring`);
  await mkdir(beside, { mode: 0o700 });
  try {
    const manifest = await orDiskFull({ path: beside, what: 'the unpacked backup' }, () =>
      unpack(file, beside),
    );
    const database = await loadRows(manifest, beside, databaseUrl);
    await rm(join(beside, 'tables'), { recursive: true, force: true });
    for (const path of ['content', 'secrets', 'training', '.']) await syncFolder(join(beside, path));
    // An empty folder of that name would be in the way on some systems.
    await rmdir(target).catch(() => {});
    await rename(beside, target);
    await syncFolder(dirname(target));
    const sum = (counts: number[]): number => counts.reduce((total, count) => total + count, 0);
    return {
      manifest,
      rows: sum(manifest.tables.map(({ rows }) => rows)),
      bytes: sum(manifest.files.map(({ bytes }) => bytes)),
      database: databaseUrl === null ? `the file ${sqliteFileOf(target)}` : database,
    };
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    if (isCoded(error, 'BACKUP_INVALID'))
      throw new CodedError('BACKUP_INVALID', `${file} is no whole backup: ${error.message}`, {
        cause: error,
      });
    throw error;
  }
}

async function requireVacant(folder: string): Promise<void> {
  const found = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new CodedError('STATE_CONFLICT', `${folder} is not a folder`, { cause: error });
  });
  if (found.length > 0)
    throw new CodedError(
      'STATE_CONFLICT',
      `${folder} has ${found.length} entries (${found[0]} first), wanted a folder that is empty or not there`,
    );
}

/** One entry of an archive while it is read. */
type Entry = AsyncIterable<Buffer> & { readonly header: Header };

/** Unpacks and checks; the first entry says which others there must be. */
async function unpack(file: string, folder: string): Promise<BackupManifest> {
  await stat(file).catch((cause) => {
    throw new CodedError('NOT_FOUND', `${file} cannot be read`, { cause });
  });
  const archive = createExtract();
  const reading = pipeline(createReadStream(file), archive as unknown as NodeJS.WritableStream);
  // Told by the loop below, which ends with the same error.
  reading.catch(() => {});
  let manifest: BackupManifest | null = null;
  let missing = new Map<string, BackupFile>();
  try {
    for await (const entry of archive as AsyncIterable<Entry>) {
      const { name, type, size } = entry.header;
      if (manifest === null) {
        if (name !== 'manifest.json')
          throw new CodedError('BACKUP_INVALID', 'it does not begin with manifest.json');
        manifest = parseManifest(await readWhole(entry, size));
        missing = new Map(manifest.files.map((listed) => [listed.path, listed]));
        continue;
      }
      const listed = missing.get(name);
      if (!listed || type !== 'file')
        throw new CodedError('BACKUP_INVALID', `"${name.slice(0, 120)}" (${type}) is not in its manifest`);
      if (size !== listed.bytes)
        throw new CodedError(
          'BACKUP_INVALID',
          `${name} has ${size} bytes, its manifest says ${listed.bytes}`,
        );
      await unpackFile(entry, listed, folder);
      missing.delete(name);
    }
    await reading;
  } catch (error) {
    const isGone = (error as NodeJS.ErrnoException).code === 'STREAM_DESTROYED';
    // Then the reason is known to those who fed the archive.
    throw asInvalid(
      isGone
        ? await reading.then(
            () => error,
            (reason: unknown) => reason,
          )
        : error,
    );
  }
  if (manifest === null) throw new CodedError('BACKUP_INVALID', 'it is empty');
  const [first] = missing.keys();
  if (first !== undefined)
    throw new CodedError('BACKUP_INVALID', `${missing.size} of its files are not there, ${first} first`);
  return manifest;
}

/** What reads tar archives throws plain errors ("Unexpected end of data"). */
function asInvalid(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const ofStreams =
    code === undefined || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'STREAM_DESTROYED';
  if (isCoded(error) || !ofStreams) return error;
  return new CodedError('BACKUP_INVALID', messageOf(error), { cause: error });
}

async function readWhole(entry: Entry, size: number): Promise<Buffer> {
  if (size > manifestBytesAtMost)
    throw new CodedError(
      'BACKUP_INVALID',
      `its manifest.json has ${size} bytes, at most ${manifestBytesAtMost} were wanted`,
    );
  const chunks: Buffer[] = [];
  for await (const chunk of entry) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function unpackFile(entry: Entry, { path, sha256 }: BackupFile, folder: string): Promise<void> {
  const hash = createHash('sha256');
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  async function* hashed(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  }
  await pipeline(entry, hashed, createWriteStream(target, { flags: 'wx', mode: 0o600, flush: true }));
  const found = hash.digest('hex');
  if (found !== sha256)
    throw new CodedError('BACKUP_INVALID', `${path} has digest ${found}, its manifest says ${sha256}`);
}

/** Fills the store, and compares what is in it then with what the backup says. */
async function loadRows(
  manifest: BackupManifest,
  folder: string,
  databaseUrl: string | null,
): Promise<string> {
  const store = await openStore(databaseUrl ?? sqliteFileOf(folder), { onOutage: 'fail' });
  try {
    for (const { table } of manifest.tables)
      if (!store.rows.tables.includes(table))
        throw new CodedError('BACKUP_INVALID', `it has a table ${table} that this release does not know`);
    await store.rows.load((table) => readLines(join(folder, 'tables', `${table}.jsonl`)));
    await compare(manifest, store);
    if (databaseUrl !== null) await bindFolder(folder, store, store.description);
    return store.description;
  } finally {
    await store.close();
  }
}

async function compare(manifest: BackupManifest, store: Store): Promise<void> {
  const found = new Map((await summarizeRows(store.rows)).map((summary) => [summary.table, summary]));
  for (const { table, rows, digest } of manifest.tables) {
    const there = found.get(table);
    if (there?.rows !== rows || there.digest !== digest)
      throw new CodedError(
        'BACKUP_INVALID',
        `table ${table} came to ${there?.rows} rows with digest ${there?.digest.slice(0, 16)}, ` +
          `its manifest says ${rows} with ${digest.slice(0, 16)}`,
      );
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  await handle?.sync();
  await handle?.close();
}
