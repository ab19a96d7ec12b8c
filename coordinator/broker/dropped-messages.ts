import type { Clock } from '@fleetlora/shared/clock';
import { limits } from '@fleetlora/shared/protocol';

export interface DroppedMessages {
  /** All messages dropped since the start. */
  readonly total: number;
  /** Counts a message that was dropped; the reason reaches the log at most once a minute a device. */
  count(deviceId: string, reason: string): void;
}

/** Devices remembered for the once-a-minute rule; only enrolled devices get this far. */
const DEVICES_AT_MOST = 10_000;

/**
 * Counts dropped messages. A device that sends nonsense without end must not fill the disk with
 * its complaints, so each device has one line a minute, which tells how many were not logged.
 */
export function createDroppedMessages(options: {
  clock: Clock;
  log: (line: { deviceId: string; reason: string; unlogged: number }) => void;
}): DroppedMessages {
  const { clock, log } = options;
  const lastLogged = new Map<string, { atMs: number; unlogged: number }>();
  let total = 0;
  return {
    get total() {
      return total;
    },
    count(deviceId, reason) {
      total++;
      const nowMs = clock.monotonicMs();
      const last = lastLogged.get(deviceId);
      if (last !== undefined && nowMs - last.atMs < limits.hostileLogIntervalMs) {
        last.unlogged++;
        return;
      }
      log({ deviceId, reason, unlogged: last?.unlogged ?? 0 });
      lastLogged.delete(deviceId);
      lastLogged.set(deviceId, { atMs: nowMs, unlogged: 0 });
      if (lastLogged.size > DEVICES_AT_MOST) {
        const [oldest] = lastLogged.keys();
        if (oldest !== undefined) lastLogged.delete(oldest);
      }
    },
  };
}
