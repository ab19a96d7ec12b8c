/**
 * Work that must not overlap, in the order it asked. The device measures, or installs, never
 * both: each would disturb what the other finds.
 */
export interface Turns {
  /** Runs `work` once all earlier work has ended; a failure of one does not touch the next. */
  take<T>(work: () => Promise<T>): Promise<T>;
}

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return {
    take(work) {
      const mine = last.then(work, work);
      last = mine.catch(() => {});
      return mine;
    },
  };
}
