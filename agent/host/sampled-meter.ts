import type { Clock } from '@fleetlora/shared/clock';
import { type Pause, repeatEvery } from './pause.js';
import type { EnergyMeter, EnergySource } from './ports.js';
import type { PowerGauge } from './power-gauges.js';

export interface SampledMeterDoors {
  readonly source: EnergySource;
  readonly gauge: PowerGauge;
  readonly everyMs: number;
  /** Different values that it takes to believe the gauge. */
  readonly wantedValues: number;
  readonly clock: Clock;
  readonly pause: Pause;
}

/**
 * Energy from a gauge of power, by the trapezoid rule. A run in which the gauge missed a beat, or
 * showed fewer different values than wanted, has no figure.
 */
export function createSampledMeter(doors: SampledMeterDoors): EnergyMeter {
  const { source, gauge, everyMs, wantedValues, clock, pause } = doors;
  return {
    source,
    async start() {
      let silent = false;
      let joules = 0;
      const values = new Set<number>();
      const taken: { watts: number; atMs: number }[] = [];
      async function sample(): Promise<void> {
        const watts = await gauge.read();
        const atMs = clock.monotonicMs();
        if (watts === null) {
          silent = true;
          return;
        }
        const last = taken.at(-1);
        if (last) joules += (((last.watts + watts) / 2) * (atMs - last.atMs)) / 1000;
        values.add(watts);
        // The first one and the latest.
        taken.splice(1, 1);
        taken.push({ watts, atMs });
      }
      await sample();
      const sampling = repeatEvery(everyMs, pause, sample);
      return {
        async stop() {
          await sampling.end();
          await sample();
          const seconds = ((taken.at(-1)?.atMs ?? 0) - (taken[0]?.atMs ?? 0)) / 1000;
          return silent || values.size < wantedValues || seconds <= 0 ? null : { joules, seconds };
        },
      };
    },
  };
}
