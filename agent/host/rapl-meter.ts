import { join } from 'node:path';
import type { Clock } from '@fleetlora/shared/clock';
import { type Pause, repeatEvery } from './pause.js';
import type { EnergyMeter } from './ports.js';
import { listNames, readText, readWhole } from './read-text.js';

/** The smallest counters run over after 65 kJ: 65 s at a kilowatt. */
const LOOK_EVERY_MS = 20_000;

interface Package {
  readonly energyFile: string;
  readonly rangeMicrojoules: number;
}

/**
 * Intel's and AMD's own counters of the energy of processor packages, all of them added. Since
 * Linux 5.10 they are for root alone: what cannot be read is not there, and of several packages
 * all must be. The counter of the whole platform ("psys") is left out, as few machines wire it.
 * @source Documentation/power/powercap/powercap.rst: energy_uj, max_energy_range_uj, name
 */
export async function findRaplMeter(root: string, clock: Clock, pause: Pause): Promise<EnergyMeter | null> {
  const folder = join(root, 'sys/class/powercap');
  const packages: Package[] = [];
  for (const zone of await listNames(folder, /^intel-rapl:\d+$/)) {
    if (!(await readText(join(folder, zone, 'name')))?.startsWith('package-')) continue;
    const energyFile = join(folder, zone, 'energy_uj');
    const range = await readWhole(join(folder, zone, 'max_energy_range_uj'));
    if ((await readWhole(energyFile)) === null || range === null || range <= 0) return null;
    packages.push({ energyFile, rangeMicrojoules: range });
  }
  if (packages.length === 0) return null;
  return { source: 'rapl', start: () => startRun(packages, clock, pause) };
}

async function startRun(packages: readonly Package[], clock: Clock, pause: Pause) {
  const readAll = () => Promise.all(packages.map(({ energyFile }) => readWhole(energyFile)));
  let microjoules = 0;
  let silent = false;
  let before = await readAll();
  const beganMs = clock.monotonicMs();

  async function count(): Promise<void> {
    const now = await readAll();
    for (const [index, { rangeMicrojoules }] of packages.entries()) {
      const [from, to] = [before[index] ?? null, now[index] ?? null];
      if (from === null || to === null) silent = true;
      else microjoules += to >= from ? to - from : to + rangeMicrojoules - from;
    }
    before = now;
  }

  const counting = repeatEvery(LOOK_EVERY_MS, pause, count);
  return {
    async stop() {
      await counting.end();
      await count();
      const seconds = (clock.monotonicMs() - beganMs) / 1000;
      return silent || microjoules === 0 ? null : { joules: microjoules / 1e6, seconds };
    },
  };
}
