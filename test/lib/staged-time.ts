import { createManualClock, type ManualClock } from './manual-clock.js';

type Pause = (ms: number, signal?: AbortSignal) => Promise<void>;

/** Time for a gate: every pause is over at once, the clock has moved by it, and `onPause` was told. */
export function createJumpingTime(onPause: (nowMs: number) => Promise<void> | void = () => undefined): {
  readonly clock: ManualClock;
  readonly pause: Pause;
} {
  const clock = createManualClock();
  return {
    clock,
    async pause(ms, signal) {
      signal?.throwIfAborted();
      clock.advance(ms);
      await onPause(clock.monotonicMs());
      signal?.throwIfAborted();
    },
  };
}

/** Time for work that goes on beside: pauses last until they are ended, one by one. */
export interface SteppedTime {
  readonly clock: ManualClock;
  readonly pause: Pause;
  /** Ends the pause that lasts, and resolves when the next one has begun: its work is done then. */
  step(): Promise<void>;
}

export function createSteppedTime(): SteppedTime {
  const clock = createManualClock();
  let resume: (() => void) | null = null;
  let onPaused: (() => void) | null = null;
  const paused = (): Promise<void> =>
    resume
      ? Promise.resolve()
      : new Promise((resolve) => {
          onPaused = resolve;
        });
  return {
    clock,
    pause: (ms, signal) =>
      new Promise((resolve, reject) => {
        const stop = (): void => {
          resume = null;
          reject(signal?.reason);
        };
        if (signal?.aborted) return stop();
        signal?.addEventListener('abort', stop, { once: true });
        resume = () => {
          signal?.removeEventListener('abort', stop);
          resume = null;
          clock.advance(ms);
          resolve();
        };
        onPaused?.();
      }),
    async step() {
      await paused();
      resume?.();
      await paused();
    },
  };
}
