/**
 * Thread that owns the SQLite file. A commit waits for the disk (an fsync under load takes tens of
 * milliseconds and more), and libsql's calls are synchronous: on the coordinator's own thread
 * every device and every request would wait with it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '@fleetlora/shared/errors';
// The file client alone: the package's front door loads its network clients as well.
import {
  createClient,
  type InArgs,
  type LibsqlError,
  type Row,
  type Transaction,
} from '@libsql/client/sqlite3';
import type { DatabaseAnswer, DatabaseRequest, DatabaseSettings } from './database-messages.js';

const { url } = workerData as DatabaseSettings;
const port = parentPort;
if (!port) throw new Error('database-worker.js runs as a worker thread only');
const tell = (answer: DatabaseAnswer): void => port.postMessage(answer);
const tellFailure = (id: number, error: unknown): void =>
  tell({ id, error: messageOf(error), code: (error as Partial<LibsqlError>).code ?? null });

/** WAL with synchronous=FULL, libsql's default on every connection: a commit survives the loss of power. */
const client = createClient({ url });
/**
 * The one write transaction, and the read transaction of a snapshot; readers use connections of
 * their own and see only what is committed.
 */
const transactions: Record<'writer' | 'snapshot', Transaction | null> = { writer: null, snapshot: null };

try {
  await client.execute('PRAGMA journal_mode=WAL');
  tell({ id: 0, rows: [] });
} catch (error) {
  tellFailure(0, error);
}

port.on('message', async ({ id, connection, sql, parameters }: DatabaseRequest) => {
  try {
    if (connection === 'close') {
      client.close();
      return tell({ id, rows: [] });
    }
    const statement = { sql, args: parameters as InArgs };
    const rows =
      connection === 'reader' ? (await client.execute(statement)).rows : await run(connection, statement);
    tell({ id, rows: rows.map((row) => Array.from(row as ArrayLike<unknown>)) });
  } catch (error) {
    tellFailure(id, error);
  }
});

/** Runs a statement of a transaction; `begin`, `commit` and `rollback` are libsql's calls. */
async function run(
  connection: 'writer' | 'snapshot',
  statement: { sql: string; args: InArgs },
): Promise<Row[]> {
  if (/^begin\b/i.test(statement.sql)) {
    transactions[connection] = await client.transaction(connection === 'writer' ? 'write' : 'read');
    return [];
  }
  const transaction = transactions[connection];
  if (!transaction) {
    // A commit that failed has closed its transaction; the rollback that follows finds it done.
    if (/^rollback$/i.test(statement.sql)) return [];
    throw new Error(`"${statement.sql.slice(0, 40)}" outside of a transaction`);
  }
  if (!/^(commit|rollback)$/i.test(statement.sql)) return (await transaction.execute(statement)).rows;
  transactions[connection] = null;
  try {
    if (/^commit$/i.test(statement.sql)) await transaction.commit();
    // A disk that is full ends a large transaction by itself, and then there is nothing to roll
    // back. What there may be ends with the connection.
    else await transaction.rollback().catch(() => {});
  } finally {
    transaction.close();
  }
  return [];
}
