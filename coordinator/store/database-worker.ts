/**
 * Thread that owns the SQLite file. A commit waits for the disk (an fsync under load takes tens of
 * milliseconds and more), and libsql's calls are synchronous: on the coordinator's own thread
 * every device and every request would wait with it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '@fleetlora/shared/errors';
// The file client alone: the package's front door loads its network clients as well.
import { createClient, type InArgs, type Row, type Transaction } from '@libsql/client/sqlite3';
import type { DatabaseAnswer, DatabaseRequest, DatabaseSettings } from './database-messages.js';

const { url } = workerData as DatabaseSettings;
const port = parentPort;
if (!port) throw new Error('database-worker.js runs as a worker thread only');
const tell = (answer: DatabaseAnswer): void => port.postMessage(answer);

/** WAL with synchronous=FULL, libsql's default on every connection: a commit survives the loss of power. */
const client = createClient({ url });
/** The one write transaction; readers use connections of their own and see only what is committed. */
let transaction: Transaction | null = null;

try {
  await client.execute('PRAGMA journal_mode=WAL');
  tell({ id: 0, rows: [] });
} catch (error) {
  tell({ id: 0, error: messageOf(error) });
}

port.on('message', async ({ id, connection, sql, parameters }: DatabaseRequest) => {
  try {
    const statement = { sql, args: parameters as InArgs };
    const rows = connection === 'writer' ? await write(statement) : (await client.execute(statement)).rows;
    tell({ id, rows: rows.map((row) => Array.from(row as ArrayLike<unknown>)) });
  } catch (error) {
    tell({ id, error: messageOf(error) });
  }
});

/** Runs a statement of the write transaction; `begin`, `commit` and `rollback` are libsql's calls. */
async function write(statement: { sql: string; args: InArgs }): Promise<Row[]> {
  if (/^begin\b/i.test(statement.sql)) {
    transaction = await client.transaction('write');
    return [];
  }
  if (!transaction) {
    // A commit that failed has closed its transaction; the rollback that follows finds it done.
    if (/^rollback$/i.test(statement.sql)) return [];
    throw new Error(`"${statement.sql.slice(0, 40)}" outside of a transaction`);
  }
  if (!/^(commit|rollback)$/i.test(statement.sql)) return (await transaction.execute(statement)).rows;
  const ending = transaction;
  transaction = null;
  try {
    if (/^commit$/i.test(statement.sql)) await ending.commit();
    else await ending.rollback();
  } finally {
    ending.close();
  }
  return [];
}
