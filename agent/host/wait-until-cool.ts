import type { Clock } from '@fleetlora/shared/clock';
import type { Pause } from './pause.js';
import type { CoolWait } from './ports.js';
import type { ThermalZone } from './thermal-zones.js';

/**
 * Room that a session needs to heat up in: one of some seconds raises a passively cooled board by
 * 5 to 15 °C.
 */
const HEADROOM_C = 15;
/** Cool enough for a zone that does not tell where it slows down: boards do so from 80 °C on. */
const COOL_BELOW_C = 60;
const POLL_EVERY_MS = 1_000;
/** As cool as it gets: not half a degree cooler in a minute. */
const STEADY_MS = 60_000;
const STEADY_C = 0.5;

export interface CoolGate {
  readonly readZones: () => Promise<readonly ThermalZone[]>;
  readonly clock: Clock;
  readonly pause: Pause;
  readonly limitMs: number;
}

/** Degrees that the zone with the least room lacks to be cool; 0 or less when all are. */
function warmthC(zones: readonly ThermalZone[]): number {
  return Math.max(
    0,
    ...zones.map(
      ({ celsius, slowsFromC }) =>
        celsius - (slowsFromC === null ? COOL_BELOW_C : Math.max(slowsFromC - HEADROOM_C, 0)),
    ),
  );
}

/**
 * Waits until every zone is 15 °C below where it slows down, or at most 60 °C warm where that is
 * not known. Gives up at the limit, and before it once the device has stopped cooling down. One
 * without a thermometer is cool.
 * @throws the signal's reason once it is aborted
 */
export async function waitUntilCool(gate: CoolGate, signal?: AbortSignal): Promise<CoolWait> {
  const { clock } = gate;
  const beganMs = clock.monotonicMs();
  let coolest = Number.POSITIVE_INFINITY;
  let coolestAtMs = beganMs;
  for (;;) {
    signal?.throwIfAborted();
    const warmth = warmthC(await gate.readZones());
    const nowMs = clock.monotonicMs();
    const waitedMs = nowMs - beganMs;
    if (warmth <= 0) return { waitedMs, hot: false };
    if (warmth <= coolest - STEADY_C) {
      coolest = warmth;
      coolestAtMs = nowMs;
    }
    const leftMs = gate.limitMs - waitedMs;
    if (leftMs <= 0 || nowMs - coolestAtMs >= STEADY_MS) return { waitedMs, hot: true };
    await gate.pause(Math.min(POLL_EVERY_MS, leftMs), signal);
  }
}
