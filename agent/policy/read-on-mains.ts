import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readText } from './read-text.js';

interface Supply {
  /** Mains, USB, Battery, UPS, Wireless. */
  readonly type: string;
  /** Of a charger: 1 while it feeds the device. */
  readonly online: boolean;
  readonly status: string;
}

/**
 * Whether the device runs on mains power; null when it has no battery to run on instead, or does
 * not tell.
 *
 * A plugged-in wall supply settles it. A USB port that says it feeds is believed as long as no
 * battery runs down: some say so while it is they that are fed from. A board with nothing but an
 * idle port still gets its power from somewhere, so that says nothing.
 * @source Documentation/ABI/testing/sysfs-class-power: type, online, status, scope
 */
export async function readOnMains(folder = '/sys/class/power_supply'): Promise<boolean | null> {
  const supplies: Supply[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const read = (file: string): Promise<string | null> => readText(join(folder, name, file));
    // Batteries of mice and headsets power themselves alone.
    if ((await read('scope')) === 'Device') continue;
    const [type, online, status] = [await read('type'), await read('online'), await read('status')];
    supplies.push({ type: type ?? '', online: online !== null && online !== '0', status: status ?? '' });
  }
  const batteries = supplies.filter(({ type }) => type === 'Battery' || type === 'UPS');
  const chargers = supplies.filter(({ type }) => type !== 'Battery' && type !== 'UPS');
  if (chargers.some(({ type, online }) => type === 'Mains' && online)) return true;
  if (batteries.some(({ status }) => status === 'Discharging')) return false;
  if (chargers.some(({ online }) => online)) return true;
  if (batteries.some(({ status }) => ['Charging', 'Full', 'Not charging'].includes(status))) return true;
  return batteries.length > 0 && chargers.length > 0 ? false : null;
}
