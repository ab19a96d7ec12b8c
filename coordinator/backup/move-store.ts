import { randomUUID } from 'node:crypto';
import { rename, stat } from 'node:fs/promises';
import { CodedError, isCoded } from '@fleetlora/shared/errors';
import {
  bindFolder,
  lockFolder,
  openStore,
  parsePostgresUrl,
  type Store,
  sqliteFileOf,
  storeIdSetting,
  summarizeRows,
  type TableSummary,
} from '../store/index.js';

export interface MovedStore {
  readonly from: string;
  readonly to: string;
  /** Equal on both sides. */
  readonly tables: readonly TableSummary[];
  /** The SQLite file under its new name. */
  readonly kept: string;
}

/**
 * Carries the rows of a data folder from its SQLite file into an empty PostgreSQL database, in one
 * transaction, and compares both sides. The file stays under another name. Doing it again after an
 * interruption goes on where it ended.
 * @throws FOLDER_IN_USE, NOT_FOUND (no SQLite file), STATE_CONFLICT (the database is not empty),
 *   BAD_USAGE, STORE_UNAVAILABLE; then the folder is as it was
 */
export async function moveStore(folder: string, databaseUrl: string): Promise<MovedStore> {
  parsePostgresUrl(databaseUrl);
  const file = sqliteFileOf(folder);
  await stat(file).catch((cause) => {
    throw new CodedError('NOT_FOUND', `${folder} has no SQLite store: ${file} is not there`, { cause });
  });
  const lock = await lockFolder(folder);
  try {
    const [tables, from, to] = await carry(file, folder, databaseUrl);
    const kept = `${file}.moved`;
    // The log first: the file without it would be an older state of the store.
    for (const suffix of ['-wal', '-shm', ''])
      await rename(`${file}${suffix}`, `${kept}${suffix}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    return { from, to, tables, kept };
  } finally {
    lock.release();
  }
}

async function carry(
  file: string,
  folder: string,
  databaseUrl: string,
): Promise<[tables: TableSummary[], from: string, to: string]> {
  const source = await openStore(file, { onOutage: 'fail' });
  try {
    const target = await openStore(databaseUrl, { onOutage: 'fail' });
    try {
      // The rows keep the id by which folder and database know each other, so that both sides stay equal.
      await source.identity.settings.insert(storeIdSetting, randomUUID());
      const wanted = await summarizeRows(source.rows);
      try {
        await source.rows.snapshot((linesOf) => target.rows.load(linesOf));
      } catch (error) {
        // An earlier run may have come this far: then the same rows are there.
        if (!isCoded(error, 'STATE_CONFLICT') || !(await holdsSame(target, wanted))) throw error;
      }
      if (!(await holdsSame(target, wanted)))
        throw new CodedError(
          'BUG',
          `the rows of ${target.description} differ from those of ${file}; nothing was renamed`,
        );
      await bindFolder(folder, target, target.description);
      return [wanted, source.description, target.description];
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function holdsSame(target: Store, wanted: readonly TableSummary[]): Promise<boolean> {
  const found = new Map((await summarizeRows(target.rows)).map((summary) => [summary.table, summary]));
  return wanted.every(
    ({ table, rows, digest }) => found.get(table)?.rows === rows && found.get(table)?.digest === digest,
  );
}
