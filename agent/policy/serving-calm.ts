/** Quiet that is waited for after a request kept a measurement from running, at first and at most. */
const FIRST_CALM_MS = 5_000;
const MOST_CALM_MS = 5 * 60_000;

/**
 * How long a device that serves is left alone before it measures again. A request always goes
 * first; each one that stops a measurement doubles the quiet that the next one waits for, so that
 * a busy device does not start what it will not finish. One that was finished starts over.
 */
export interface ServingCalm {
  /** A request kept a measurement from running. */
  disturbed(): void;
  /** A measurement ran to its end. */
  finished(): void;
  /** Seconds of quiet that are waited for; null when none are, or when they are over. */
  waitingForSeconds(serving: {
    readonly requestsInFlight: number;
    readonly quietSeconds: number | null;
  }): number | null;
}

export function createServingCalm(): ServingCalm {
  let nextMs = FIRST_CALM_MS;
  let waitingMs: number | null = null;
  return {
    disturbed() {
      if (waitingMs !== null) return;
      waitingMs = nextMs;
      nextMs = Math.min(MOST_CALM_MS, nextMs * 2);
    },
    finished() {
      nextMs = FIRST_CALM_MS;
    },
    waitingForSeconds({ requestsInFlight, quietSeconds }) {
      if (waitingMs === null) return null;
      const isOver = requestsInFlight === 0 && (quietSeconds ?? Number.POSITIVE_INFINITY) * 1000 >= waitingMs;
      if (isOver) waitingMs = null;
      return waitingMs === null ? null : waitingMs / 1000;
    },
  };
}
