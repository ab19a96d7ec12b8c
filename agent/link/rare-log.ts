import type { Clock } from '@fleetlora/shared/clock';
import type { Log } from '../log.js';

/**
 * Speaks at most once in `intervalMs` and says then how often it was silent: a stranger must not
 * be able to fill the disk with log lines.
 */
export interface RareLog {
  warn(fields: Readonly<Record<string, unknown>>, text: string): void;
}

export function createRareLog(log: Log, clock: Clock, intervalMs: number): RareLog {
  let lastMs = Number.NEGATIVE_INFINITY;
  let silent = 0;
  return {
    warn(fields, text) {
      const nowMs = clock.monotonicMs();
      if (nowMs - lastMs < intervalMs) {
        silent++;
        return;
      }
      log.warn(silent > 0 ? { ...fields, notLoggedSince: silent } : fields, text);
      lastMs = nowMs;
      silent = 0;
    },
  };
}
