import type { Conditions } from '@fleetlora/shared/protocol';
import { dayMinutes, minuteOf } from './clock-range.js';

/** A temperature is told again when it has moved this far, and not sooner than this. */
const TEMPERATURE_STEP_C = 5;
const TEMPERATURE_EVERY_MS = 60_000;
/** The coordinator adds the time that passed; only a clock that was set meanwhile is news. */
const CLOCK_STEP_MINUTES = 2;

/**
 * Whether the coordinator must hear of these conditions: what they allow or why changed, a plug
 * was pulled, the clock was set, or it has become much warmer or colder. A jitter and the passing
 * of time are no news. Pure.
 * @param told what it heard last
 * @param passedMs since then, by a clock that does not jump
 */
export function worthTelling(told: Conditions, now: Conditions, passedMs: number): boolean {
  if (told.mayMeasure !== now.mayMeasure || told.reasons.join('\n') !== now.reasons.join('\n')) return true;
  if (told.onMains !== now.onMains || told.metered !== now.metered) return true;
  if ((told.temperatureC === null) !== (now.temperatureC === null)) return true;
  const movedC = Math.abs((told.temperatureC ?? 0) - (now.temperatureC ?? 0));
  if (movedC >= TEMPERATURE_STEP_C && passedMs >= TEMPERATURE_EVERY_MS) return true;
  const expected = minuteOf(told.localTime) + passedMs / 60_000;
  const apart = (((minuteOf(now.localTime) - expected) % dayMinutes) + dayMinutes) % dayMinutes;
  return Math.min(apart, dayMinutes - apart) >= CLOCK_STEP_MINUTES;
}
