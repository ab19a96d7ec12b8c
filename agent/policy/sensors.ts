import type { Clock } from '@fleetlora/shared/clock';
import { readOnMains, readTemperatureC } from '../host/index.js';
import { readMetered } from './read-metered.js';

/** What a device can tell of its surroundings; null where it has no such sensor. */
export interface Sensors {
  onMains(): Promise<boolean | null>;
  /** Degrees Celsius of the hottest part. */
  temperatureC(): Promise<number | null>;
  /** Of the network that leads to everywhere. */
  metered(): Promise<boolean | null>;
  localTime(): LocalTime;
}

/** The time on the device's wall. */
export interface LocalTime {
  /** Minutes since midnight, 0 to 1439. */
  readonly minuteOfDay: number;
  /** False on a board that has not heard the time since it was switched on. */
  readonly isSet: boolean;
}

/** No agent of ours ran before this: an earlier clock starts at zero and was never set. */
const EARLIEST_MS = Date.UTC(2025, 0, 1);

/** The sensors of this machine. A fact that it does not tell is null; nothing here throws. */
export function createSystemSensors(clock: Clock): Sensors {
  return {
    onMains: () => readOnMains(),
    temperatureC: () => readTemperatureC(),
    metered: () => readMetered(),
    localTime() {
      const now = new Date(clock.nowMs());
      return {
        minuteOfDay: now.getHours() * 60 + now.getMinutes(),
        isSet: now.getTime() >= EARLIEST_MS,
      };
    },
  };
}
