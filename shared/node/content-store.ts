import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, type FileHandle, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CodedError } from '../errors.js';
import type { ByteSink, ContentStore } from '../runtime.js';
import { type DiskWrite, orDiskFull, requireSpace } from './disk-full.js';
import { type FileSource, openFileSource } from './file-source.js';
import { makeFolder } from './make-folder.js';

/** A content store in one folder, each blob a file named by its digest. */
export interface FileContentStore extends ContentStore {
  readonly folder: string;
  /** As ContentStore's; whoever opens a file closes it. */
  open(digest: string): Promise<FileSource>;
  /** Where a blob lies, whether or not it is there. */
  pathOf(digest: string): string;
  /**
   * Moves a finished file in (copies across file systems) and returns its digest. The file stays
   * where it was when that fails. @throws DISK_FULL
   */
  putFile(path: string): Promise<string>;
  /** Begins a blob that is written piece by piece and hashed as it goes. @throws DISK_FULL */
  begin(): Promise<ContentWriter>;
  /**
   * As `has`, and the blob counts as used now, as one that is stored once more does: the time of its
   * file is when it was last of use.
   */
  renew(digest: string): Promise<boolean>;
}

/** A blob on its way into the store. */
export interface ContentWriter extends ByteSink {
  /** Bytes written so far. */
  readonly bytes: number;
  /** @throws DISK_FULL when they do not fit */
  expect(bytes: number): Promise<void>;
  /** Stores what was written and returns its digest. @throws DISK_FULL, as `write` does */
  finish(): Promise<string>;
  /** Closes and removes what is not stored yet; harmless afterwards. */
  discard(): Promise<void>;
}

const DIGEST = /^[0-9a-f]{64}$/;
/** Ends the names of files that are not whole yet. */
const PART = '.part';

/** Creates the folder when needed. @throws DISK_FULL, as `put` and `putFile` do */
export async function createFileContentStore(folder: string): Promise<FileContentStore> {
  await makeFolder(folder);
  const pathOf = (digest: string): string => {
    if (!DIGEST.test(digest))
      throw new CodedError('BAD_REQUEST', `"${digest.slice(0, 80)}" is not a SHA-256 digest`);
    return join(folder, digest);
  };
  const has = async (digest: string): Promise<boolean> =>
    stat(pathOf(digest)).then(
      (entry) => entry.isFile(),
      () => false,
    );
  const renew = async (digest: string): Promise<boolean> => {
    if (!(await has(digest))) return false;
    const now = new Date();
    return utimes(pathOf(digest), now, now).then(
      () => true,
      // Deleted in between; a file whose time cannot be set is there all the same.
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
    );
  };
  return {
    folder,
    pathOf,
    has,
    renew,
    async open(digest) {
      if (!(await has(digest))) throw new CodedError('NOT_FOUND', `no content with digest ${digest}`);
      return openFileSource(pathOf(digest));
    },
    async put(bytes) {
      const digest = createHash('sha256').update(bytes).digest('hex');
      if (!(await renew(digest))) await writeFileDurably(pathOf(digest), bytes);
      return digest;
    },
    async putFile(path) {
      const digest = await sha256File(path);
      if (await renew(digest)) {
        await rm(path);
        return digest;
      }
      const { size } = await stat(path);
      await orDiskFull({ path: pathOf(digest), neededBytes: size }, async () => {
        await syncPath(path);
        await rename(path, pathOf(digest)).catch(async (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EXDEV') throw error;
          await replaceDurably(pathOf(digest), size, async (beside) => {
            await copyFile(path, beside);
            await syncPath(beside);
          });
          await rm(path);
        });
        await syncPath(folder);
      });
      return digest;
    },
    async begin() {
      const path = join(folder, `${randomUUID()}${PART}`);
      const hash = createHash('sha256');
      let write: DiskWrite = { path };
      let handle: FileHandle | null = await orDiskFull(write, () => open(path, 'wx', 0o600));
      let bytes = 0;
      const close = async (): Promise<void> => {
        const open = handle;
        handle = null;
        await open?.close();
      };
      return {
        get bytes() {
          return bytes;
        },
        async expect(neededBytes) {
          write = { path, neededBytes };
          await requireSpace({ path, neededBytes });
        },
        async write(chunk) {
          hash.update(chunk);
          bytes += chunk.length;
          await orDiskFull(write, async () => void (await handle?.writeFile(chunk)));
        },
        async finish() {
          const digest = hash.digest('hex');
          await orDiskFull(write, async () => {
            await handle?.sync();
            await close();
            if (await renew(digest)) return rm(path);
            await rename(path, pathOf(digest));
            await syncPath(folder);
          });
          return digest;
        },
        async discard() {
          await close();
          await rm(path, { force: true });
        },
      };
    },
  };
}

/** Removes what killed processes were writing. Only who alone writes to the folder may call it. */
export async function sweepParts(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.endsWith(PART)) await rm(join(folder, name), { force: true });
}

/**
 * Writes a whole file so that after a crash either the old or the new content is there.
 * @throws DISK_FULL; then the old content is there, and nothing beside it
 */
export function writeFileDurably(path: string, bytes: Uint8Array | string, mode = 0o600): Promise<void> {
  const neededBytes = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
  return replaceDurably(path, neededBytes, async (beside) => {
    const handle = await open(beside, 'wx', mode);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/** Renames what `write` leaves on disk beside `path` over it; on failure nothing is left beside it. */
async function replaceDurably(
  path: string,
  neededBytes: number,
  write: (beside: string) => Promise<void>,
): Promise<void> {
  const beside = `${path}.${randomUUID()}${PART}`;
  await orDiskFull({ path, neededBytes }, async () => {
    try {
      await write(beside);
      await rename(beside, path);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
    await syncPath(dirname(path));
  });
}

/** SHA-256 of a file, lower-case hex, read as a stream. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
