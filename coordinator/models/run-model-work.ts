import { Worker } from 'node:worker_threads';
import { CodedError, type ErrorCode, errorTable } from '@fleetlora/shared/errors';
import { createStopFlag, raise } from '@fleetlora/shared/node';
import type { HostWorking } from '../host/index.js';
import type { ModelWork, ModelWorkAnswer, ModelWorkResults } from './model-work.js';

export interface ModelWorkshop {
  /** Result of a piece of work; rejects with the CodedError it ended with. */
  run<W extends ModelWork>(work: W): Promise<ModelWorkResults[W['kind']]>;
  /** Ends the piece in hand and refuses the waiting ones. */
  close(): Promise<void>;
}

/** Longer than one native call of any model takes. */
const STOP_PATIENCE_MS = 20_000;

/**
 * How long work waits for a measurement on this machine: mostly a person waits for its answer, over
 * HTTP, whose clients give up after five minutes. A device whose measurement it then disturbs sees
 * that and takes it again.
 */
const TURN_AT_MOST_MS = 120_000;

export interface WorkshopHost {
  /** The machine, which devices that measure may share. */
  readonly host: Pick<HostWorking, 'during'>;
  /** Fires when the coordinator stops: what waits for its turn is refused. */
  readonly stopping?: AbortSignal | undefined;
}

/**
 * Runs model work in worker threads over one content folder.
 * Invariant: at most one thread runs, because each may hold a whole model in memory.
 */
export function createModelWorkshop(folder: string, { host, stopping }: WorkshopHost): ModelWorkshop {
  const atMost = { atMostMs: TURN_AT_MOST_MS, ...(stopping && { signal: stopping }) };
  let tail: Promise<unknown> = Promise.resolve();
  const stop = createStopFlag();
  let running: { readonly worker: Worker; readonly ended: Promise<void>; readonly native: boolean } | null =
    null;
  let closed = false;

  const start = (work: ModelWork): Promise<ModelWorkAnswer> =>
    new Promise((resolve, reject) => {
      if (closed) {
        reject(
          new CodedError('STATE_CONFLICT', `the coordinator is stopping, "${work.kind}" was not started`),
        );
        return;
      }
      const worker = new Worker(new URL('./model-worker.js', import.meta.url), {
        workerData: { folder, work, stop },
      });
      const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      running = { worker, ended, native: computes(work) };
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (exitCode) => {
        running = null;
        // A promise settles once: this counts only when the thread ended without an answer.
        reject(
          new CodedError('CHILD_FAILED', `the thread of "${work.kind}" ended with ${exitCode} and no answer`),
        );
      });
    });

  return {
    run<W extends ModelWork>(work: W): Promise<ModelWorkResults[W['kind']]> {
      const perform = (): Promise<ModelWorkAnswer> => {
        const answer = tail.then(() => start(work));
        tail = answer.catch(() => undefined);
        return answer;
      };
      // An import of data reads and writes; all else computes over whole models. It has its turn
      // before it queues here, so that nothing in the queue waits for a measurement.
      const answer = work.kind === 'importDataset' ? perform() : host.during('model', perform, atMost);
      return answer.then((value) => {
        if (!value.ok) throw new CodedError(toErrorCode(value.code), value.message);
        return value.result as ModelWorkResults[W['kind']];
      });
    },
    async close() {
      closed = true;
      raise(stop);
      if (running === null) return;
      // A thread inside a native call must come out of it first: see stoppableRuntime.
      const { worker, ended, native } = running;
      if (native)
        await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, STOP_PATIENCE_MS).unref())]);
      await worker.terminate();
    },
  };
}

function toErrorCode(code: string): ErrorCode {
  return Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'BUG';
}

/** Whether a piece of work runs a model, inside native calls. */
function computes(work: ModelWork): boolean {
  if (work.kind === 'layBase') return work.sorting?.importance === 'wanda';
  return work.kind === 'package' || work.kind === 'pruneBase' || work.kind === 'mergeAdapter';
}
