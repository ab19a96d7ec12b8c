import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { writeFileDurably } from '@fleetlora/shared/node';
import type { StoreOptions } from './open-database.js';
import { openStore, type Store } from './open-store.js';
import { parsePostgresUrl } from './postgres-address.js';

/** The rows of a data folder that uses no other database. */
export const sqliteFileOf = (folder: string): string => join(folder, 'coordinator.db');

/** What a data folder says of the PostgreSQL database that its rows are in. */
interface StoreMark {
  readonly engine: 'postgres';
  /** In words, without a password. */
  readonly database: string;
  /** The database's own id: an address may change, and another database may come to have it. */
  readonly id: string;
}

const markOf = (folder: string): string => join(folder, 'store.json');
/** Setting by which a database and its data folder know each other. */
export const storeIdSetting = 'store-id';

/**
 * Opens the store of a data folder: its SQLite file, or the PostgreSQL database of `databaseUrl`.
 * A folder that has rows in the one place is never opened with the other by mistake.
 * @throws STATE_CONFLICT naming both places; as openStore
 */
export async function openFolderStore(
  folder: string,
  databaseUrl: string | null,
  options: StoreOptions = {},
): Promise<Store> {
  const mark = await readMark(folder);
  const file = sqliteFileOf(folder);
  if (databaseUrl === null) {
    if (mark === null) return openStore(file, options);
    throw new CodedError(
      'STATE_CONFLICT',
      `the rows of ${folder} are in PostgreSQL, ${mark.database}, and DATABASE_URL is not set; set it to that database`,
    );
  }
  const { description } = parsePostgresUrl(databaseUrl);
  if (await isThere(file))
    throw new CodedError(
      'STATE_CONFLICT',
      `the rows of ${folder} are in ${file}, and DATABASE_URL names ${description}; ` +
        'carry them over with `fleetlora store move`, or unset DATABASE_URL',
    );
  const store = await openStore(databaseUrl, options);
  try {
    await bindFolder(folder, store, description, mark);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

/**
 * Writes down that the rows of the folder are in this database.
 * @throws STATE_CONFLICT when it is another one than the folder was used with
 */
export async function bindFolder(
  folder: string,
  store: Pick<Store, 'identity'>,
  description: string,
  mark: StoreMark | null = null,
): Promise<void> {
  const { settings } = store.identity;
  const known = await settings.read(storeIdSetting);
  if (mark !== null && known !== mark.id)
    throw new CodedError(
      'STATE_CONFLICT',
      `DATABASE_URL names ${description}, which is ${known === null ? 'empty' : "another coordinator's"}, ` +
        `and the rows of ${folder} are in ${mark.database}`,
    );
  await settings.insert(storeIdSetting, randomUUID());
  const id = (await settings.read(storeIdSetting)) ?? '';
  const next: StoreMark = { engine: 'postgres', database: description, id };
  if (mark === null || mark.database !== description)
    await writeFileDurably(markOf(folder), `${JSON.stringify(next)}\n`, 0o600);
}

/** Null when the folder has no mark: its rows are in its own file, or it has none yet. */
async function readMark(folder: string): Promise<StoreMark | null> {
  const path = markOf(folder);
  try {
    const mark = JSON.parse(await readFile(path, 'utf8')) as Partial<StoreMark>;
    if (mark.engine === 'postgres' && typeof mark.database === 'string' && typeof mark.id === 'string')
      return mark as StoreMark;
    throw new Error('it names no database');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new CodedError('STATE_CONFLICT', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
