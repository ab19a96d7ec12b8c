import type { Clock } from '@fleetlora/shared/clock';

/** A device that postpones a job without having said that it may not measure is left alone for this long. */
const PAUSE_MS = 30_000;

/**
 * Devices that put off a job although their last word allowed it: their conditions were lost on
 * the way, or they are at fault. Without a pause they would be offered job after job for ever.
 */
export interface Postponements {
  add(deviceId: string, reason: string): void;
  /** What the device said, and how long it is left alone yet; null when it is not. */
  of(deviceId: string): { readonly reason: string; readonly secondsLeft: number } | null;
  /** Forgets the pauses that are over; true when there was one. */
  expire(): boolean;
}

export function createPostponements(clock: Clock): Postponements {
  const pauses = new Map<string, { reason: string; untilMs: number }>();
  return {
    add(deviceId, reason) {
      pauses.set(deviceId, { reason, untilMs: clock.monotonicMs() + PAUSE_MS });
    },
    of(deviceId) {
      const pause = pauses.get(deviceId);
      const leftMs = (pause?.untilMs ?? 0) - clock.monotonicMs();
      return pause && leftMs > 0 ? { reason: pause.reason, secondsLeft: Math.ceil(leftMs / 1000) } : null;
    },
    expire() {
      const over = [...pauses].filter(([, { untilMs }]) => untilMs <= clock.monotonicMs());
      for (const [deviceId] of over) pauses.delete(deviceId);
      return over.length > 0;
    },
  };
}
