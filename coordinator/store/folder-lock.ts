import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CodedError } from '@fleetlora/shared/errors';
import { createClient, type LibsqlError } from '@libsql/client/sqlite3';

export interface FolderLock {
  release(): void;
}

/**
 * Takes the data folder for this process. The lock is an open write transaction on an empty SQLite
 * file: the kernel's file lock under it ends with the process, however that ends, so nothing stale
 * can stay behind and no process id has to be trusted.
 * @throws FOLDER_IN_USE when another coordinator holds the folder, DISK_FULL
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const client = createClient({ url: pathToFileURL(join(folder, 'lock')).href });
  try {
    const transaction = await client.transaction('write');
    return {
      release() {
        transaction.close();
        client.close();
      },
    };
  } catch (cause) {
    client.close();
    const { code } = cause as LibsqlError;
    if (code === 'SQLITE_FULL')
      throw new CodedError('DISK_FULL', `no space is left to lock the data folder ${folder}`, { cause });
    if (code !== 'SQLITE_BUSY') throw cause;
    throw new CodedError(
      'FOLDER_IN_USE',
      `the data folder ${folder} is in use by another coordinator${await holderOf(folder)}; stop it, or choose another folder`,
      { cause },
    );
  }
}

/** Names the process that wrote endpoint.json, when there is one. */
async function holderOf(folder: string): Promise<string> {
  try {
    const endpoint = JSON.parse(await readFile(join(folder, 'endpoint.json'), 'utf8')) as { pid?: unknown };
    return typeof endpoint.pid === 'number' ? ` (process ${endpoint.pid})` : '';
  } catch {
    return '';
  }
}
