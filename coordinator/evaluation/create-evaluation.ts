import { Worker } from 'node:worker_threads';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { createStopFlag, raise } from '@fleetlora/shared/node';
import type { RowScore, ScoreRequest, WorkerReply, WorkerRequest, WorkerSettings } from './ports.js';

export interface Evaluation {
  /** Requests worked on at the same time; more of them wait their turn. */
  readonly parallel: number;
  /**
   * Scores a candidate on rows; the result is in the order of the rows.
   * @throws NOT_FOUND (content missing), GENOME_MALFORMED, WEIGHT_* and DATA_* as found by the
   *   thread; CHILD_FAILED when the thread ended, a new one serves the next request
   */
  score(request: ScoreRequest): Promise<RowScore[]>;
  /** Ends the threads; whatever waits or runs is rejected with CHILD_FAILED. */
  close(): Promise<void>;
}

interface Task {
  readonly request: ScoreRequest;
  resolve(scores: RowScore[]): void;
  reject(error: CodedError): void;
}
interface Thread {
  readonly worker: Worker;
  /** Called once the thread has no task; set while evaluation closes. */
  onIdle: (() => void) | null;
  task: (Task & { readonly id: number }) | null;
}

/** Longer than one batch of any model takes; a thread that hangs must not keep a coordinator from ending. */
const STOP_PATIENCE_MS = 20_000;

function idleWithin(thread: Thread, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    thread.onIdle = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

/**
 * A pool of evaluation threads over one content folder. Threads start when first needed and keep
 * their sessions and encoded rows.
 *
 * Invariant: a thread has at most one task, and a task leaves `waiting` only for an idle thread.
 */
export function createEvaluation(options: {
  readonly contentFolder: string;
  /** Threads inside one operator, in each worker. */
  readonly threads?: number;
  /** Worker threads; each holds a copy of the activations, not of the weights. */
  readonly workers?: number;
  /** How long `close` waits for a thread at work before it is ended the hard way. */
  readonly stopPatienceMs?: number;
  /** Entry of the worker; only tests name another. */
  readonly entry?: URL;
}): Evaluation {
  const parallel = options.workers ?? 1;
  const entry = options.entry ?? new URL('./evaluation-worker.js', import.meta.url);
  const stop = createStopFlag();
  const { contentFolder, threads: threadsEach = 1 } = options;
  const workerData: WorkerSettings = { contentFolder, threads: threadsEach, stop };
  const waiting: Task[] = [];
  const threads = new Set<Thread>();
  let lastId = 0;
  let closed = false;

  const startThread = (): Thread => {
    const worker = new Worker(entry, { workerData });
    const thread: Thread = { worker, task: null, onIdle: null };
    threads.add(thread);
    let cause: unknown;
    worker.on('message', (reply: WorkerReply) => {
      const { task } = thread;
      if (task?.id !== reply.id) return;
      thread.task = null;
      // An idle thread must not keep the process alive, a working one must.
      worker.unref();
      if ('scores' in reply) task.resolve(reply.scores);
      else task.reject(new CodedError(reply.error.code, reply.error.message));
      thread.onIdle?.();
      assign();
    });
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', (exitCode) => {
      threads.delete(thread);
      const why = cause === undefined ? `with exit code ${exitCode}` : `with "${messageOf(cause)}"`;
      thread.task?.reject(
        new CodedError(
          'CHILD_FAILED',
          `the evaluation thread ended ${why} while it scored ${thread.task.request.genome}`,
          {
            cause,
          },
        ),
      );
      thread.task = null;
      thread.onIdle?.();
      if (!closed) assign();
    });
    return thread;
  };

  const assign = (): void => {
    while (waiting.length > 0) {
      const idle = [...threads].find((thread) => thread.task === null);
      const thread = idle ?? (threads.size < parallel ? startThread() : undefined);
      if (!thread) return;
      const task = waiting.shift() as Task;
      thread.task = { ...task, id: ++lastId };
      const message: WorkerRequest = { id: lastId, request: task.request };
      thread.worker.ref();
      thread.worker.postMessage(message);
    }
  };

  return {
    parallel,
    score(request) {
      if (closed) return Promise.reject(new CodedError('CHILD_FAILED', 'evaluation is closed'));
      return new Promise((resolve, reject) => {
        waiting.push({ request, resolve, reject });
        assign();
      });
    },
    async close() {
      closed = true;
      for (const task of waiting.splice(0))
        task.reject(new CodedError('CHILD_FAILED', 'evaluation was closed'));
      // A thread inside a native call must come out of it first.
      raise(stop);
      await Promise.all(
        [...threads].map(async (thread) => {
          if (thread.task !== null) await idleWithin(thread, options.stopPatienceMs ?? STOP_PATIENCE_MS);
          await thread.worker.terminate();
        }),
      );
    },
  };
}
