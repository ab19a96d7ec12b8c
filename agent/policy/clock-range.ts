import { clockRangePattern } from '@fleetlora/shared/protocol';

const CLOCK_RANGE = new RegExp(clockRangePattern);
/** Minutes of a day. */
export const dayMinutes = 1440;

/**
 * Whether a minute of the day lies in "22:00-06:00", whose second time is not part of it. A range
 * that ends before it starts goes over midnight; equal times are the whole day.
 * @param range fits the protocol's pattern
 * @param minuteOfDay 0 to 1439
 */
export function clockRangeHolds(range: string, minuteOfDay: number): boolean {
  if (!CLOCK_RANGE.test(range)) return false;
  const [from = 0, to = 0] = range.split('-').map(minuteOf);
  if (from === to) return true;
  const sinceFrom = (minuteOfDay - from + dayMinutes) % dayMinutes;
  return sinceFrom < (to - from + dayMinutes) % dayMinutes;
}

/** Minutes since midnight of "HH:MM". */
export function minuteOf(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5));
}

/** "HH:MM" of minutes since midnight. */
export function formatMinuteOfDay(minuteOfDay: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(Math.floor(minuteOfDay / 60))}:${two(minuteOfDay % 60)}`;
}
