import type { Clock } from '@fleetlora/shared/clock';
import type { Pause } from './pause.js';
import type { GateLimits, QuietWait } from './ports.js';
import { otherCoresBetween, type ProcessorTime } from './processor-time.js';

/** 30 ticks a core: others' tenth is three of them, so one tick more or less does not decide. */
const WINDOW_MS = 300;
/** A wait that was in vain halves the next ones, down to this part of the limit. */
const LEAST_PATIENCE = 1 / 8;

export interface QuietGateDoors {
  readonly readTime: () => ProcessorTime | null;
  readonly clock: Clock;
  readonly pause: Pause;
  readonly limits: GateLimits;
}

export type QuietGate = (signal?: AbortSignal) => Promise<QuietWait>;

/** Whether others had more of the machine than is allowed; not known is no reason to doubt. */
export function isBusy(otherCores: number | null, cores: number, limits: GateLimits): boolean {
  return otherCores !== null && otherCores > limits.maxOtherShare * cores;
}

/**
 * A gate that waits until a window passes in which other processes had little of the machine.
 * On one that is never quiet it waits less and less, until it once was.
 */
export function createQuietGate({ readTime, clock, pause, limits }: QuietGateDoors): QuietGate {
  let patience = 1;
  return async (signal) => {
    if (limits.quietWaitMs === 0) return { waitedMs: 0, otherCores: null, busy: false };
    const limitMs = limits.quietWaitMs * patience;
    const beganMs = clock.monotonicMs();
    let from = readTime();
    for (;;) {
      signal?.throwIfAborted();
      // Where the system does not tell, no window would.
      if (from === null) return { waitedMs: clock.monotonicMs() - beganMs, otherCores: null, busy: false };
      await pause(WINDOW_MS, signal);
      const to = readTime();
      const otherCores = otherCoresBetween(from, to);
      const busy = isBusy(otherCores, from.cores, limits);
      const waitedMs = clock.monotonicMs() - beganMs;
      if (!busy || waitedMs >= limitMs) {
        patience = busy ? Math.max(LEAST_PATIENCE, patience / 2) : 1;
        return { waitedMs, otherCores, busy };
      }
      from = to;
    }
  };
}
