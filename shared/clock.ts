/** Time is an argument: code that needs it is handed a Clock. */
export interface Clock {
  /** Wall time, milliseconds since 1970. May jump; never used for durations. */
  nowMs(): number;
  /** Monotonic time in milliseconds from an arbitrary start, sub-millisecond resolution. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
