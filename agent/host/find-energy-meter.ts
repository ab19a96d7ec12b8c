import type { Clock } from '@fleetlora/shared/clock';
import type { Pause } from './pause.js';
import type { EnergyMeter } from './ports.js';
import { findBatteryGauge, findInaGauge } from './power-gauges.js';
import { findRaplMeter } from './rapl-meter.js';
import { createSampledMeter } from './sampled-meter.js';

/** An INA converts some hundred times a second and averages between. */
const INA_EVERY_MS = 200;
/** Fuel gauges have new values every second to half a minute. */
const BATTERY_EVERY_MS = 1_000;
/** One that shows a single value throughout has not looked since before the run. */
const BATTERY_VALUES = 2;

/**
 * The best meter that answers: the processor's counters, which are exact and the same on battery
 * and on mains; a monitor on the board's supply; the battery, while the device runs on it.
 */
export async function findEnergyMeter(root: string, clock: Clock, pause: Pause): Promise<EnergyMeter | null> {
  const rapl = await findRaplMeter(root, clock, pause);
  if (rapl) return rapl;
  const ina = await findInaGauge(root);
  if (ina)
    return createSampledMeter({
      source: 'ina',
      gauge: ina,
      everyMs: INA_EVERY_MS,
      wantedValues: 1,
      clock,
      pause,
    });
  const battery = await findBatteryGauge(root);
  if (battery)
    return createSampledMeter({
      source: 'battery',
      gauge: battery,
      everyMs: BATTERY_EVERY_MS,
      wantedValues: BATTERY_VALUES,
      clock,
      pause,
    });
  return null;
}
