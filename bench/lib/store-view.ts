import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openStore } from '@fleetlora/coordinator/store';
import { CodedError } from '@fleetlora/shared/errors';
import type { PostgresServer } from './postgres-server.js';

/** A job as it is stored; `result` is JSON text, equal when the results are. */
export interface JobRow {
  readonly id: string;
  /** Of its candidates in their order; none of a sentinel's. */
  readonly trialIds: readonly string[];
  readonly state: string;
  readonly sends: number;
  readonly endedAtMs: number | null;
  readonly result: string | null;
}

export interface TrialRow {
  readonly id: string;
  readonly number: number;
  readonly genome: string;
  readonly state: string;
  readonly measurement: string | null;
  readonly askedSequence: number;
  readonly toldSequence: number | null;
}

/** A search as it lies in the database, read past the coordinator. */
export interface StoredRows {
  /** Jobs of these trials, oldest first. */
  readonly jobs: readonly JobRow[];
  /** By number. */
  readonly trials: readonly TrialRow[];
}

export interface StoreView {
  readonly engine: 'sqlite' | 'postgres';
  read(searchId: string): Promise<StoredRows>;
}

/**
 * Looks into the SQLite file of a coordinator's data folder, alive or dead, by way of a copy:
 * opening it in place would take locks from a living one, and repair what a dead one is to repair.
 */
export function viewSqlite(dataFolder: string, workFolder: string): StoreView {
  return {
    engine: 'sqlite',
    async read(searchId) {
      const folder = await mkdtemp(join(workFolder, 'copy-'));
      try {
        const copy = join(folder, 'coordinator.db');
        await copyDatabase(join(dataFolder, 'coordinator.db'), copy);
        return await readRows(copy, searchId);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/**
 * Copies a database that may be written to. A page that is changed in the file meanwhile stands in
 * the log too, as long as the log was not begun anew: its salts tell.
 * @source SQLite, WAL-mode File Format, 4.1 (salts at bytes 16 to 23 of the log's header)
 */
async function copyDatabase(from: string, to: string): Promise<void> {
  for (;;) {
    const before = await readSalts(`${from}-wal`);
    await copyFile(from, to);
    await copyFile(`${from}-wal`, `${to}-wal`).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    if ((await readSalts(`${to}-wal`)) === before) return;
    await rm(`${to}-wal`, { force: true });
  }
}

async function readSalts(log: string): Promise<string> {
  const file = await open(log).catch(() => null);
  if (file === null) return '';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 16);
    return buffer.subarray(0, bytesRead).toString('hex');
  } finally {
    await file.close();
  }
}

async function readRows(path: string, searchId: string): Promise<StoredRows> {
  const store = await openStore(path);
  try {
    const trials = await store.campaign.listTrials(searchId);
    const jobs = await store.fleet.jobs.listOfSearch(searchId);
    return {
      jobs: jobs.map(({ result, ...job }) => ({
        ...job,
        result: result && JSON.stringify(result),
      })),
      trials: trials.map(({ measurement, ...trial }) => ({
        ...trial,
        measurement: measurement && JSON.stringify(measurement),
      })),
    };
  } finally {
    await store.close();
  }
}

/** Looks into a database of a server with psql, as its administrator. */
export function viewPostgres(server: PostgresServer, database: string): StoreView {
  const select = async (sql: string): Promise<Record<string, unknown>[]> =>
    JSON.parse(await server.query(`SELECT coalesce(json_agg(row), '[]') FROM (${sql}) AS row`, database));
  return {
    engine: 'postgres',
    async read(searchId) {
      if (!/^[0-9a-z_]+$/.test(searchId)) throw new CodedError('BUG', `"${searchId}" is no id`);
      const trials = await select(
        `SELECT id, number, genome, state, measurement, asked_sequence AS "askedSequence",
           told_sequence AS "toldSequence" FROM trials WHERE search_id = '${searchId}' ORDER BY number`,
      );
      const jobs = await select(
        `SELECT id, trial_id, other_trial_ids, state, sends, ended_at_ms AS "endedAtMs", result
           FROM jobs WHERE search_id = '${searchId}' ORDER BY created_at_ms, id`,
      );
      return {
        jobs: jobs.map(({ trial_id: first, other_trial_ids: others, ...row }) => ({
          ...row,
          trialIds: first === '' ? [] : [first, ...(JSON.parse(asText(others ?? [])) as unknown[])],
          result: row.result && asText(row.result),
        })) as unknown as JobRow[],
        trials: trials.map((row) => ({
          ...row,
          measurement: row.measurement && asText(row.measurement),
        })) as unknown as TrialRow[],
      };
    },
  };
}

/** A JSON column comes as text or as a value, as its type is text or jsonb. */
const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
