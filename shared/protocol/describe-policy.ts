/** Policies and conditions in words, the same at the coordinator's and at the agent's command line. */
import type { Conditions, DevicePolicy } from './policy.js';

/** "22:00-06:00 or 12:00-13:00, mains power, at most 70 °C, unmetered network, 10 min of quiet". */
export function describePolicy({
  hours,
  mainsPower,
  maxTemperatureC,
  unmetered,
  quietSeconds,
}: DevicePolicy): string {
  const parts = [
    hours?.join(' or '),
    mainsPower && 'mains power',
    maxTemperatureC === undefined ? undefined : `at most ${maxTemperatureC} °C`,
    unmetered && 'unmetered network',
    quietSeconds === undefined ? undefined : describeQuiet(quietSeconds),
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? 'at any time' : parts.join(', ');
}

/** In the largest unit that leaves no rest: "90 s of quiet", "10 min of quiet", "2 h of quiet". */
function describeQuiet(seconds: number): string {
  if (seconds === 0) return 'no request under way';
  if (seconds % 3600 === 0) return `${seconds / 3600} h of quiet`;
  return seconds % 60 === 0 ? `${seconds / 60} min of quiet` : `${seconds} s of quiet`;
}

/** "14:10, 48.2 °C, on battery, metered network"; what the device cannot sense is left out. */
export function describeReadings({
  localTime,
  temperatureC,
  onMains,
  metered,
}: Omit<Conditions, 'mayMeasure' | 'reasons'>): string {
  return [
    localTime,
    temperatureC === null ? null : `${temperatureC.toFixed(1)} °C`,
    onMains === null ? null : onMains ? 'on mains power' : 'on battery',
    metered === null ? null : metered ? 'metered network' : 'unmetered network',
  ]
    .filter((part) => part !== null)
    .join(', ');
}

/** Why a device may not measure, in one line; null when it may. */
export function explainConditions(conditions: Conditions): string | null {
  if (conditions.mayMeasure) return null;
  return conditions.reasons.map((reason) => explainReason(reason, conditions)).join('; ') || 'its policy';
}

/** A reason with the readings it is about: "policy of class pi5: outside 22:00-06:00, now 14:10 there". */
export function explainReason(
  reason: string,
  { localTime, temperatureC }: { readonly localTime: string; readonly temperatureC: number | null },
): string {
  if (/: outside \d\d:\d\d-/.test(reason)) return `${reason}, now ${localTime} there`;
  if (/: above \d[\d.]* °C$/.test(reason) && temperatureC !== null)
    return `${reason}, ${temperatureC.toFixed(1)} °C when it last told`;
  return reason;
}
