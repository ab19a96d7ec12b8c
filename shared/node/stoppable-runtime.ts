import { CodedError } from '../errors.js';
import type { Runtime } from '../runtime.js';

/** Shared with a thread: once set, its runtime makes no further native call. */
export interface StopFlag {
  readonly memory: SharedArrayBuffer;
}

export function createStopFlag(): StopFlag {
  return { memory: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT) };
}

export function raise({ memory }: StopFlag): void {
  Atomics.store(new Int32Array(memory), 0, 1);
}

/**
 * The runtime of a worker thread that another thread may want to end. A thread that is terminated
 * inside a native run takes the whole process down when the run returns (an error of Node-API that
 * nobody can catch), so it has to come out by itself first.
 * @returns a runtime whose calls reject with CHILD_FAILED once the flag is raised
 */
export function stoppableRuntime(runtime: Runtime, { memory }: StopFlag): Runtime {
  const flag = new Int32Array(memory);
  const refuse = (): void => {
    if (Atomics.load(flag, 0) !== 0) throw new CodedError('CHILD_FAILED', 'the work was stopped');
  };
  return {
    version: runtime.version,
    provider: runtime.provider,
    async createSession(graph, options) {
      refuse();
      const session = await runtime.createSession(graph, options);
      return {
        async run(feeds, fetches, kept) {
          refuse();
          return session.run(feeds, fetches, kept);
        },
        release: () => session.release(),
      };
    },
  };
}
