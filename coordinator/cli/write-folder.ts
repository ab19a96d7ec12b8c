import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';

/** Where files lie until all of them are there; a killed command leaves it, the next one removes it. */
const STAGING = '.fleetlora-part';
/** What the file system says where nothing can be written, whoever asks. */
const unwritable = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP', 'EBUSY'];

/**
 * Fills a folder, which is empty or not there, with all that `write` puts into the one it is given, or
 * with nothing. The place is tried first, so that no work is done for one that cannot be written.
 * @returns what `write` returns
 * @throws ALREADY_EXISTS when the folder has something in it, BAD_USAGE when it cannot be written,
 *   DISK_FULL, and what `write` throws: then nothing of it is left, nor any folder made for it
 */
export async function writeFolder<T>(folder: string, write: (staging: string) => Promise<T>): Promise<T> {
  const target = resolve(folder);
  const staging = join(target, STAGING);
  let made: string | undefined;
  try {
    const [found] = (await namesIn(target)).filter((name) => name !== STAGING);
    if (found !== undefined)
      throw new CodedError(
        'ALREADY_EXISTS',
        `${folder} has "${found}" in it, wanted a folder that is empty or not there`,
      );
    made = await mkdir(target, { recursive: true });
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging);
    const result = await write(staging);
    for (const name of await readdir(staging)) await rename(join(staging, name), join(target, name));
    await rmdir(staging);
    return result;
  } catch (error) {
    await removeMade(staging, target, made);
    throw explain(error, folder);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Removes the staging folder, and the folders from `target` up to `made` unless somebody uses them. */
async function removeMade(staging: string, target: string, made: string | undefined): Promise<void> {
  // Where this fails, what it fails of is what the command fails of.
  await rm(staging, { recursive: true, force: true }).catch(() => {});
  if (made === undefined) return;
  for (let at = target; at.startsWith(made); at = dirname(at)) await rmdir(at).catch(() => {});
}

function explain(error: unknown, folder: string): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new CodedError('DISK_FULL', `no space is left for ${folder}`, { cause: error });
  if (unwritable.includes(code))
    return new CodedError(
      'BAD_USAGE',
      `${folder} cannot be written (${code}), wanted a folder that is empty or not there`,
      { cause: error },
    );
  return error;
}
