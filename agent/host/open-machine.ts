import type { Clock } from '@fleetlora/shared/clock';
import { findEnergyMeter } from './find-energy-meter.js';
import { type Pause, realPause } from './pause.js';
import type { GateLimits, Machine } from './ports.js';
import { readProcessorTime } from './processor-time.js';
import { createQuietGate } from './quiet-gate.js';
import { readThisEmulation } from './read-emulation.js';
import { readGovernor } from './read-governor.js';
import { readOnMains } from './read-on-mains.js';
import { readTemperatureC, readThermalZones } from './thermal-zones.js';
import { openThrottleSigns } from './throttle-signs.js';
import { waitUntilCool } from './wait-until-cool.js';
import { watchMachine } from './watch-machine.js';

export interface MachineOptions {
  readonly clock: Clock;
  readonly limits: GateLimits;
  /** Processes beside this one whose trees do not count as others. */
  readonly ownPids?: () => readonly number[];
  /** Root of the file system: another one for recorded machines, on which this process is `pid`. */
  readonly root?: string;
  readonly pid?: number;
  readonly emulated?: boolean;
  readonly pause?: Pause;
}

/**
 * The machine this process runs on, as far as its kernel shows it under /proc and /sys. On other
 * systems nothing is known: readings are null and gates open.
 */
export async function openMachine(options: MachineOptions): Promise<Machine> {
  const { clock, limits, root = '/', pid = process.pid, pause = realPause } = options;
  const readTime = () => readProcessorTime(root, pid, options.ownPids?.());
  const quietGate = createQuietGate({ readTime, clock, pause, limits });
  const watchDoors = { openSigns: () => openThrottleSigns(root), readTime, pause, limits };
  return {
    emulated: options.emulated ?? (await readThisEmulation()).emulated,
    limits,
    async state() {
      const [temperatureC, onMains, governor] = await Promise.all([
        readTemperatureC(root),
        readOnMains(root),
        readGovernor(root),
      ]);
      return { temperatureC, onMains, governor };
    },
    waitUntilCool: (signal) =>
      waitUntilCool(
        { readZones: () => readThermalZones(root), clock, pause, limitMs: limits.coolWaitMs },
        signal,
      ),
    waitUntilQuiet: quietGate,
    watch: (watchOptions) => watchMachine(watchDoors, watchOptions),
    energyMeter: () => findEnergyMeter(root, clock, pause),
  };
}
