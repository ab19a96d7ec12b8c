import type { Clock } from '@fleetlora/shared/clock';
import { messageOf } from '@fleetlora/shared/errors';
import type { PolicySet } from '@fleetlora/shared/protocol';
import type { Log } from '../log.js';
import type { Readings } from './judge-policies.js';
import type { Sensors } from './sensors.js';

export type Sensed = Pick<Readings, 'onMains' | 'temperatureC' | 'metered'>;

/** The latest readings of the slow sensors. */
export interface Sensing {
  latest(): Sensed;
  /**
   * Reads the sensors again. While the device measures, those alone that its policies ask for:
   * whatever else it does beside would be part of what it measures.
   */
  refresh(policies: readonly PolicySet[], now: 'idle' | 'measuring'): Promise<void>;
  /** The network is asked for with the next refresh, however lately it was. */
  askNetworkAgain(): void;
}

/** Asking NetworkManager starts a process. */
const METERED_EVERY_MS = 60_000;

export function createSensing(doors: {
  readonly sensors: Sensors;
  readonly clock: Clock;
  readonly log: Log;
}): Sensing {
  const { sensors, clock, log } = doors;
  let sensed: Sensed = { onMains: null, temperatureC: null, metered: null };
  let meteredAtMs = Number.NEGATIVE_INFINITY;

  /** A sensor that fails is one that the device does not have at present. */
  async function read<T>(what: string, sensor: () => Promise<T | null>): Promise<T | null> {
    try {
      return await sensor();
    } catch (error) {
      log.debug({ sensor: what, reason: messageOf(error) }, 'a sensor did not answer');
      return null;
    }
  }

  return {
    latest: () => sensed,
    async refresh(policies, now) {
      const wants = (key: 'mainsPower' | 'maxTemperatureC' | 'unmetered'): boolean =>
        now === 'idle' || policies.some(({ policy }) => policy[key] !== undefined);
      const next = { ...sensed };
      if (wants('mainsPower')) next.onMains = await read('power', () => sensors.onMains());
      if (wants('maxTemperatureC'))
        next.temperatureC = await read('temperature', () => sensors.temperatureC());
      if (wants('unmetered') && clock.monotonicMs() - meteredAtMs >= METERED_EVERY_MS) {
        next.metered = await read('network', () => sensors.metered());
        meteredAtMs = clock.monotonicMs();
      }
      sensed = next;
    },
    askNetworkAgain() {
      meteredAtMs = Number.NEGATIVE_INFINITY;
    },
  };
}
