import { constants } from 'node:fs';
import { copyFile, link } from 'node:fs/promises';

/**
 * Gives a file a second name: sessions map weight files of one folder only, and refuse links that
 * lead out of it. A hard link costs nothing; where there is none (another file system, FAT) the
 * file is copied, as a clone where the file system can.
 */
export async function placeBeside(path: string, target: string): Promise<void> {
  try {
    await link(path, target);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!['EXDEV', 'EPERM', 'ENOTSUP', 'EMLINK', 'ENOSYS', 'EOPNOTSUPP'].includes(code)) throw error;
    await copyFile(path, target, constants.COPYFILE_FICLONE);
  }
}
