import type { Random } from '@fleetlora/shared/random';

/** Waits between tries: doubling from `firstMs` to `maxMs`, each cut by up to half at random. */
export interface Backoff {
  nextMs(): number;
  /** After a success. */
  reset(): void;
}

export function createBackoff(limits: { firstMs: number; maxMs: number }, random: Random): Backoff {
  let tries = 0;
  return {
    nextMs() {
      const full = Math.min(limits.maxMs, limits.firstMs * 2 ** Math.min(tries, 20));
      tries++;
      return full * (1 - random.next() / 2);
    },
    reset() {
      tries = 0;
    },
  };
}
