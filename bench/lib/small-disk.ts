import { execFile } from 'node:child_process';
import { mkdir, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A file system of its own size, in memory. */
export interface SmallDisk {
  readonly folder: string;
  freeBytes(): Promise<number>;
  /** Takes what is free, all but `freeBytes` (to a page). A second call sets it anew. */
  fill(freeBytes?: number): Promise<void>;
  /** Gives back all that `fill` took. */
  empty(): Promise<void>;
  unmount(): Promise<void>;
}

const run = promisify(execFile);
const PAGE_BYTES = 4096;
/** Lies in the folder like a file of any other program. */
export const BALLAST = 'other-programs-file';

/**
 * Mounts an empty file system of `bytes` on `folder`, which is made. Only after `enterOwnMounts`.
 * @param files most files and folders it can hold
 */
export async function mountSmallDisk(folder: string, bytes: number, files?: number): Promise<SmallDisk> {
  await mkdir(folder, { recursive: true });
  const limits = [`size=${bytes}`, 'mode=0700', ...(files === undefined ? [] : [`nr_inodes=${files}`])];
  await run('mount', ['-t', 'tmpfs', '-o', limits.join(','), 'tmpfs', folder]);
  const ballast = join(folder, BALLAST);
  const freeBytes = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  };
  return {
    folder,
    freeBytes,
    async fill(keepBytes = 0) {
      const file = await open(ballast, 'a');
      try {
        // Pages are handed out one by one, so the last step is one page.
        for (let step = 1 << 20; step >= PAGE_BYTES; step /= 2)
          while ((await freeBytes()) - step >= keepBytes) {
            // Others write at the same time: what was free a moment ago may be theirs now.
            await file.appendFile(Buffer.alloc(step)).catch((error: NodeJS.ErrnoException) => {
              if (error.code !== 'ENOSPC') throw error;
            });
          }
      } finally {
        await file.close();
      }
    },
    empty: () => rm(ballast, { force: true }),
    unmount: async () => void (await run('umount', ['--lazy', folder])),
  };
}
