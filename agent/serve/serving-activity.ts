/** Counts the completions under way, for those who must not be disturbed by one. */
export interface ServingActivity {
  /** Requests so far, the ones under way included. */
  startedRequests(): number;
  requestsInFlight(): number;
  /** Resolves when none is under way; rejects with the signal's reason. */
  whenIdle(signal?: AbortSignal): Promise<void>;
  /** Calls the listener when a request begins or ends, before either goes on. */
  onChange(listener: () => void): () => void;
  /** Runs `work` as one request. */
  during<T>(work: () => Promise<T>): Promise<T>;
}

export function createServingActivity(): ServingActivity {
  let started = 0;
  let inFlight = 0;
  const waiting = new Set<() => void>();
  const listeners = new Set<() => void>();
  const changed = (): void => {
    for (const listener of [...listeners]) listener();
  };
  return {
    startedRequests: () => started,
    requestsInFlight: () => inFlight,
    async whenIdle(signal) {
      while (inFlight > 0) {
        signal?.throwIfAborted();
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            waiting.delete(wake);
            signal?.removeEventListener('abort', wake);
            resolve();
          };
          waiting.add(wake);
          signal?.addEventListener('abort', wake, { once: true });
        });
      }
      signal?.throwIfAborted();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async during(work) {
      started++;
      inFlight++;
      changed();
      try {
        return await work();
      } finally {
        inFlight--;
        changed();
        if (inFlight === 0) for (const wake of [...waiting]) wake();
      }
    },
  };
}
