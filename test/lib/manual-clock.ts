import type { Clock } from '@fleetlora/shared/clock';

export interface ManualClock extends Clock {
  advance(ms: number): void;
}

/** A clock that stands still until it is moved; both its times move together. */
export function createManualClock(startMs = 1_700_000_000_000): ManualClock {
  let nowMs = startMs;
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs - startMs,
    advance(ms) {
      nowMs += ms;
    },
  };
}
