import type { Clock } from '@fleetlora/shared/clock';

/** The time a job's child processes may take together. */
export interface WorkBudget {
  readonly timeoutMs: number;
  /** What is left of it; 1 when nothing is, so that a child is started and found too late. */
  leftMs(): number;
  /** Runs work that takes from it. One at a time. */
  spend<T>(work: () => Promise<T>): Promise<T>;
}

export function createWorkBudget(clock: Clock, timeoutMs: number): WorkBudget {
  let spentMs = 0;
  return {
    timeoutMs,
    leftMs: () => Math.max(1, timeoutMs - spentMs),
    async spend(work) {
      const beginMs = clock.monotonicMs();
      try {
        return await work();
      } finally {
        spentMs += clock.monotonicMs() - beginMs;
      }
    },
  };
}
