export interface WriteQueue {
  /** Runs `work` once everything enqueued before it has ended. */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** Resolves when everything enqueued so far has ended. */
  settled(): Promise<void>;
}

/**
 * One transaction at a time, in order: what is read inside one holds until it ends. SQLite has one
 * writer in any case (a second BEGIN IMMEDIATE fails with SQLITE_BUSY instead of waiting), and
 * PostgreSQL has one coordinator.
 */
export function createWriteQueue(): WriteQueue {
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(work) {
      const result = last.then(work);
      last = result.catch(() => undefined);
      return result;
    },
    async settled() {
      await last;
    },
  };
}
