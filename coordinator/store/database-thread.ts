import { Worker } from 'node:worker_threads';
import { CodedError } from '@fleetlora/shared/errors';
import {
  type DatabaseAnswer,
  type DatabaseRequest,
  type DatabaseSettings,
  SqliteError,
} from './database-messages.js';

export interface DatabaseThread {
  /** Runs one statement; rejects with a SqliteError. */
  execute(
    connection: DatabaseRequest['connection'],
    sql: string,
    parameters: readonly unknown[],
  ): Promise<{ rows: unknown[][] }>;
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (value: { rows: unknown[][] }) => void;
  readonly reject: (error: unknown) => void;
}

/** Starts the thread; resolves once the database is open. */
export async function startDatabaseThread(settings: DatabaseSettings): Promise<DatabaseThread> {
  const worker = new Worker(new URL('./database-worker.js', import.meta.url), { workerData: settings });
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  let ended: CodedError | null = null;

  // The thread keeps the process alive only while an answer is awaited.
  const wait = (id: number): Promise<{ rows: unknown[][] }> => {
    worker.ref();
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  };
  const take = (id: number): Waiting | undefined => {
    const found = waiting.get(id);
    waiting.delete(id);
    if (waiting.size === 0) worker.unref();
    return found;
  };
  const end = (reason: string, cause?: unknown): void => {
    ended ??= new CodedError('CHILD_FAILED', `the database thread ${reason}`, { cause });
    for (const id of [...waiting.keys()]) take(id)?.reject(ended);
  };
  worker.on('message', (answer: DatabaseAnswer) => {
    const found = take(answer.id);
    if ('error' in answer) found?.reject(new SqliteError(answer.error, answer.code));
    else found?.resolve({ rows: answer.rows });
  });
  worker.on('error', (error) => end('failed', error));
  worker.on('exit', (code) => end(`ended with code ${code}`));

  try {
    await wait(0);
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  const execute: DatabaseThread['execute'] = (connection, sql, parameters) => {
    if (ended) return Promise.reject(ended);
    const id = ++lastId;
    const answer = wait(id);
    worker.postMessage({ id, connection, sql, parameters } satisfies DatabaseRequest);
    return answer;
  };
  return {
    execute,
    async close() {
      // The last one to close the file brings the log into it; if that fails, the next to open does.
      await execute('close', '', []).catch(() => {});
      await worker.terminate();
    },
  };
}
