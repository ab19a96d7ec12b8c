import { coolingC, type PolicySet, policyReasons, policyTitle } from '@fleetlora/shared/protocol';
import { clockRangeHolds } from './clock-range.js';
import type { LocalTime } from './sensors.js';

/** What policies are judged by; null where the device cannot tell. */
export interface Readings {
  readonly onMains: boolean | null;
  readonly temperatureC: number | null;
  readonly metered: boolean | null;
  readonly localTime: LocalTime;
  readonly requestsInFlight: number;
  /** Since the end of the last served request; null when there was none since the start. */
  readonly quietSeconds: number | null;
}

export interface Judgement {
  /** Why the device may not measure, each naming its policy; empty when it may. */
  readonly reasons: readonly string[];
  /** The limits it was too hot for and has not cooled down from; hand them to the next judgement. */
  readonly tooHot: ReadonlySet<string>;
  /** False while a policy wants more quiet than there was. */
  readonly isQuiet: boolean;
}

/**
 * Whether all of the policies allow to measure now. What the device cannot sense holds; a clock
 * that was never set does not, since hours are all about the clock. Pure.
 * @param tooHotBefore `tooHot` of the judgement before this one
 */
export function judgePolicies(
  policies: readonly PolicySet[],
  readings: Readings,
  tooHotBefore: ReadonlySet<string> = new Set(),
): Judgement {
  const reasons: string[] = [];
  const tooHot = new Set<string>();
  let quiet = true;
  for (const { scope, policy } of policies) {
    const forbid = (reason: string): void => void reasons.push(`${policyTitle(scope)}: ${reason}`);
    const { hours, maxTemperatureC, quietSeconds } = policy;
    if (hours && !readings.localTime.isSet) forbid('its clock was never set, so its hours are not known');
    else if (hours && !hours.some((range) => clockRangeHolds(range, readings.localTime.minuteOfDay)))
      forbid(policyReasons.outsideHours(hours));
    if (policy.mainsPower && readings.onMains === false) forbid(policyReasons.onBattery);
    if (maxTemperatureC !== undefined && readings.temperatureC !== null) {
      const limit = `${scope.kind}/${scope.name}/${maxTemperatureC}`;
      const mustCoolTo = tooHotBefore.has(limit) ? maxTemperatureC - coolingC : maxTemperatureC;
      if (readings.temperatureC > mustCoolTo) {
        tooHot.add(limit);
        forbid(policyReasons.tooHot(maxTemperatureC));
      }
    }
    if (policy.unmetered && readings.metered === true) forbid(policyReasons.metered);
    if (quietSeconds !== undefined && !wasQuietFor(quietSeconds, readings)) {
      quiet = false;
      forbid(policyReasons.notQuiet(quietSeconds));
    }
  }
  return { reasons, tooHot, isQuiet: quiet };
}

function wasQuietFor(wantedSeconds: number, { requestsInFlight, quietSeconds }: Readings): boolean {
  return requestsInFlight === 0 && (quietSeconds === null || quietSeconds >= wantedSeconds);
}
