import type { GateLimits } from './ports.js';

/** Longest waits before each session of a measurement, in seconds. */
export interface GateWaits {
  readonly coolWaitSeconds?: number;
  readonly quietWaitSeconds?: number;
}

/** A passively cooled board takes minutes to lose the heat of a session. */
export const defaultCoolWaitSeconds = 300;
/** Outlasts a package update's bursts and a timer's job, and not a search's patience. */
export const defaultQuietWaitSeconds = 20;

/**
 * An idle desktop's daemons take a few percent of its cores. One process that computes takes more
 * than a tenth on anything of up to nine cores; on larger ones it has a core for itself, and the
 * measured threads have theirs.
 */
const MAX_OTHER_SHARE = 0.1;

/** Limits of the gates. A wait of 0 seconds opens a gate. */
export function gateLimitsOf(waits: GateWaits): GateLimits {
  return {
    coolWaitMs: (waits.coolWaitSeconds ?? defaultCoolWaitSeconds) * 1000,
    quietWaitMs: (waits.quietWaitSeconds ?? defaultQuietWaitSeconds) * 1000,
    maxOtherShare: MAX_OTHER_SHARE,
  };
}
