import { setTimeout as sleep } from 'node:timers/promises';

/** Lets time pass. @throws the signal's reason once it is aborted */
export type Pause = (ms: number, signal?: AbortSignal) => Promise<void>;

/** Real time. */
export const realPause: Pause = async (ms, signal) => {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
};

/** Work that goes on beside something else, turn after turn, until it is ended. */
export interface Repetition {
  /** Resolves when the last turn is over. */
  end(): Promise<void>;
}

/** Does a turn after every pause. A turn that throws ends the repetition; `end` then throws it. */
export function repeatEvery(ms: number, pause: Pause, turn: () => Promise<void>): Repetition {
  const ending = new AbortController();
  const { signal } = ending;
  const running = (async () => {
    for (;;) {
      await pause(ms, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
      if (signal.aborted) return;
      await turn();
    }
  })();
  running.catch(() => undefined);
  return {
    end() {
      ending.abort();
      return running;
    },
  };
}
