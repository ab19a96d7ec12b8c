import { join } from 'node:path';
import { type PowerSupply, readPowerSupplies } from './power-supplies.js';

/**
 * Whether the device runs on mains power; null when it has no battery to run on instead, or does
 * not tell.
 *
 * A plugged-in wall supply settles it. A USB port that says it feeds is believed as long as no
 * battery runs down: some say so while it is they that are fed from. A board with nothing but an
 * idle port still gets its power from somewhere, so that says nothing.
 * @param root of the file system, another one for recorded machines
 */
export async function readOnMains(root = '/'): Promise<boolean | null> {
  return onMainsOf(await readPowerSupplies(join(root, 'sys/class/power_supply')));
}

/** The same of supplies that were read. */
export function onMainsOf(supplies: readonly PowerSupply[]): boolean | null {
  const batteries = supplies.filter(({ type }) => type === 'Battery' || type === 'UPS');
  const chargers = supplies.filter(({ type }) => type !== 'Battery' && type !== 'UPS');
  if (chargers.some(({ type, online }) => type === 'Mains' && online)) return true;
  if (batteries.some(({ status }) => status === 'Discharging')) return false;
  if (chargers.some(({ online }) => online)) return true;
  if (batteries.some(({ status }) => ['Charging', 'Full', 'Not charging'].includes(status))) return true;
  return batteries.length > 0 && chargers.length > 0 ? false : null;
}
