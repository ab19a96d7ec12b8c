import { join } from 'node:path';
import { listNames, readText } from './read-text.js';

/** A power supply that feeds the device itself. */
export interface PowerSupply {
  readonly folder: string;
  /** Mains, USB, Battery, UPS, Wireless. */
  readonly type: string;
  /** Of a charger: it feeds the device. */
  readonly online: boolean;
  /** Of a battery: Charging, Discharging, Full, Not charging, Unknown. */
  readonly status: string;
}

/**
 * What feeds this device. Batteries of mice and headsets power themselves alone and are left out.
 * @source Documentation/ABI/testing/sysfs-class-power: type, online, status, scope
 */
export async function readPowerSupplies(classFolder: string): Promise<PowerSupply[]> {
  const supplies: PowerSupply[] = [];
  for (const name of await listNames(classFolder, /./)) {
    const folder = join(classFolder, name);
    if ((await readText(join(folder, 'scope'))) === 'Device') continue;
    const [type, online, status] = await Promise.all(
      ['type', 'online', 'status'].map((file) => readText(join(folder, file))),
    );
    supplies.push({
      folder,
      type: type ?? '',
      online: (online ?? '0') !== '0',
      status: status ?? '',
    });
  }
  return supplies;
}
