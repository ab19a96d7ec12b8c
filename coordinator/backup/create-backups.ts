import { createHash, randomUUID } from 'node:crypto';
import { type EventEmitter, once } from 'node:events';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Clock } from '@fleetlora/shared/clock';
import { orDiskFull } from '@fleetlora/shared/node';
import { pack as createPack, type Pack } from 'tar-stream';
import { createLineDigest, type Store, type TableSummary } from '../store/index.js';
import { type BackupFile, type BackupManifest, backupVersion } from './manifest.js';

export interface Backups {
  /**
   * A tar archive of everything the coordinator remembers: rows as they are at one moment, keys,
   * checkpoints and stored files. Writers go on meanwhile. The stream fails when a file cannot be
   * read; an archive that was not sent to its end is refused by `restoreBackup`.
   * @throws STORE_UNAVAILABLE, DISK_FULL (the rows are laid down first)
   */
  open(): Promise<Readable>;
}

export interface BackupOptions {
  readonly store: Pick<Store, 'rows' | 'engine'>;
  readonly dataFolder: string;
  readonly contentFolder: string;
  /** Folder for files under way. */
  readonly incomingFolder: string;
  readonly version: string;
  readonly clock: Clock;
  /** Runs the work while no stored file is deleted. */
  readonly hold: <T>(what: string, work: () => Promise<T>) => Promise<T>;
}

/** Something that goes into the archive. */
interface Entry extends BackupFile {
  /** Opened when its turn comes; a file that may be replaced meanwhile is open from the start. */
  readonly source: string | FileHandle;
}

export function createBackups(options: BackupOptions): Backups {
  return {
    open: () =>
      new Promise((resolve, reject) => {
        options
          .hold('a backup', async () => {
            const spool = join(options.incomingFolder, `backup-${randomUUID()}`);
            const opened: FileHandle[] = [];
            try {
              const { manifest, entries } = await prepare(options, spool, opened);
              const pack = createPack();
              // Told by the stream that is handed out, whose receiver may go at any moment.
              pack.on('error', () => {});
              resolve(Readable.from(pack as unknown as AsyncIterable<Buffer>, { objectMode: false }));
              await send(pack, manifest, entries).catch((error: Error) => pack.destroy(error));
            } finally {
              await Promise.all(opened.map((handle) => handle.close()));
              await rm(spool, { recursive: true, force: true });
            }
          })
          .catch(reject);
      }),
  };
}

async function prepare(
  { store, dataFolder, contentFolder, version, clock }: BackupOptions,
  spool: string,
  opened: FileHandle[],
): Promise<{ manifest: BackupManifest; entries: Entry[] }> {
  await mkdir(spool, { recursive: true, mode: 0o700 });
  const entries: Entry[] = [];
  const createdAtMs = clock.nowMs();
  const tables = await layRows(store, spool, entries);
  // After the rows: what they name was stored before they were.
  for (const path of [
    'admin-token',
    ...(await listFiles(dataFolder, 'secrets', 1)),
    ...(await listFiles(dataFolder, 'training', 2)),
  ]) {
    const handle = await openIfPresent(join(dataFolder, path));
    if (handle === null) continue;
    opened.push(handle);
    entries.push({ path, ...(await digestOf(handle)), source: handle });
  }
  for (const name of await readdir(contentFolder)) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue;
    const source = join(contentFolder, name);
    entries.push({ path: `content/${name}`, bytes: (await stat(source)).size, sha256: name, source });
  }
  const files = entries.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 }));
  const head = { format: 'fleetlora-backup', version: backupVersion, fleetlora: version } as const;
  return { manifest: { ...head, engine: store.engine, createdAtMs, tables, files }, entries };
}

/** Writes the rows of one moment into files, so that the moment is short however slow the receiver is. */
function layRows({ rows }: BackupOptions['store'], spool: string, entries: Entry[]): Promise<TableSummary[]> {
  return rows.snapshot(async (linesOf) => {
    const tables: TableSummary[] = [];
    for (const table of rows.tables) {
      const path = join(spool, `${table}.jsonl`);
      const sum = createLineDigest();
      const hash = createHash('sha256');
      let bytes = 0;
      await orDiskFull({ path, what: 'the rows of a backup' }, async () => {
        const file = await open(path, 'wx', 0o600);
        try {
          for await (const lines of linesOf(table)) {
            sum.add(lines);
            const text = Buffer.from(lines.map((line) => `${line}\n`).join(''));
            hash.update(text);
            bytes += text.length;
            await file.writeFile(text);
          }
        } finally {
          await file.close();
        }
      });
      entries.push({ path: `tables/${table}.jsonl`, bytes, sha256: hash.digest('hex'), source: path });
      tables.push({ table, rows: sum.rows(), digest: sum.digest() });
    }
    return tables;
  });
}

/** Paths of the files `depth` levels below a folder of the data folder; unfinished ones are left out. */
async function listFiles(root: string, folder: string, depth: number): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const found: string[] = [];
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory() && depth > 1) found.push(...(await listFiles(root, path, depth - 1)));
    else if (entry.isFile() && depth === 1 && !entry.name.endsWith('.part')) found.push(path);
  }
  return found.sort();
}

async function openIfPresent(path: string): Promise<FileHandle | null> {
  return open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

async function digestOf(handle: FileHandle): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of handle.createReadStream({ start: 0, autoClose: false })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Sends the archive; ends early, without an error, when its receiver is gone. */
async function send(pack: Pack, manifest: BackupManifest, entries: readonly Entry[]): Promise<void> {
  const gone = new Promise<void>((resolve) => pack.on('close', resolve));
  const mtime = new Date(manifest.createdAtMs);
  const text = Buffer.from(`${JSON.stringify(manifest)}\n`);
  const all: { path: string; bytes: number; chunks: () => AsyncIterable<Buffer> | Iterable<Buffer> }[] = [
    { path: 'manifest.json', bytes: text.length, chunks: () => [text] },
    ...entries.map(({ path, bytes, source }) => ({ path, bytes, chunks: () => readSource(source, bytes) })),
  ];
  for (const { path, bytes, chunks } of all) {
    const written = new Promise<void>((resolve, reject) => {
      const entry = pack.entry({ name: path, size: bytes, mode: 0o600, mtime }, (error) =>
        error ? reject(error) : resolve(),
      );
      // The callback above tells.
      entry.on('error', () => {});
      (async () => {
        for await (const chunk of chunks()) {
          if (pack.destroyed) return;
          if (!entry.write(chunk))
            await Promise.race([once(entry as unknown as EventEmitter, 'drain'), gone]);
        }
        entry.end(null);
      })().catch(reject);
    });
    await Promise.race([written, gone]);
    if (pack.destroyed) return;
  }
  pack.finalize();
  await gone;
}

async function* readSource(source: string | FileHandle, bytes: number): AsyncGenerator<Buffer> {
  if (bytes === 0) return;
  const handle = typeof source === 'string' ? await open(source, 'r') : source;
  try {
    // No further than the manifest says, should the file have grown.
    for await (const chunk of handle.createReadStream({ start: 0, end: bytes - 1, autoClose: false }))
      yield chunk as Buffer;
  } finally {
    if (typeof source === 'string') await handle.close();
  }
}
