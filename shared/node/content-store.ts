import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CodedError } from '../errors.js';
import type { ContentStore } from '../runtime.js';
import { type FileSource, openFileSource } from './file-source.js';

/** A content store in one folder, each blob a file named by its digest. */
export interface FileContentStore extends ContentStore {
  readonly folder: string;
  /** As ContentStore's; whoever opens a file closes it. */
  open(digest: string): Promise<FileSource>;
  /** Where a blob lies, whether or not it is there. */
  pathOf(digest: string): string;
  /** Moves a finished file in (copies across file systems) and returns its digest. */
  putFile(path: string): Promise<string>;
}

const DIGEST = /^[0-9a-f]{64}$/;

/** Creates the folder when needed. */
export async function createFileContentStore(folder: string): Promise<FileContentStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
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
  return {
    folder,
    pathOf,
    has,
    async open(digest) {
      if (!(await has(digest))) throw new CodedError('NOT_FOUND', `no content with digest ${digest}`);
      return openFileSource(pathOf(digest));
    },
    async put(bytes) {
      const digest = createHash('sha256').update(bytes).digest('hex');
      if (!(await has(digest))) await writeFileDurably(pathOf(digest), bytes);
      return digest;
    },
    async putFile(path) {
      const digest = await sha256File(path);
      if (await has(digest)) {
        await rm(path);
        return digest;
      }
      await syncPath(path);
      await rename(path, pathOf(digest)).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EXDEV') throw error;
        await replaceDurably(pathOf(digest), async (beside) => {
          await copyFile(path, beside);
          await syncPath(beside);
        });
        await rm(path);
      });
      await syncPath(folder);
      return digest;
    },
  };
}

/** Writes a whole file so that after a crash either the old or the new content is there. */
export function writeFileDurably(path: string, bytes: Uint8Array | string, mode = 0o600): Promise<void> {
  return replaceDurably(path, async (beside) => {
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
async function replaceDurably(path: string, write: (beside: string) => Promise<void>): Promise<void> {
  const beside = `${path}.${randomUUID()}.part`;
  try {
    await write(beside);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  await syncPath(dirname(path));
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
