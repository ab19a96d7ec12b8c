import { join } from 'node:path';
import { readPowerSupplies } from './power-supplies.js';
import { onMainsOf } from './read-on-mains.js';
import { listNames, readText, readWhole } from './read-text.js';

/** A sensor of present power. */
export interface PowerGauge {
  /** Watts; null when it does not answer. */
  read(): Promise<number | null>;
}

/**
 * The batteries of this device, all of them added, while it runs on nothing else: only then is
 * what they give what the device takes. Null when it does not, or they tell no power.
 * @source Documentation/ABI/testing/sysfs-class-power: power_now in µW, or current_now in µA
 *   (negative on some while discharging) times voltage_now in µV
 */
export async function findBatteryGauge(root: string): Promise<PowerGauge | null> {
  const folder = join(root, 'sys/class/power_supply');
  const read = async (): Promise<number | null> => {
    const supplies = await readPowerSupplies(folder);
    if (onMainsOf(supplies) !== false) return null;
    const giving = supplies.filter(({ type, status }) => type === 'Battery' && status === 'Discharging');
    const watts = await Promise.all(giving.map((battery) => readBatteryWatts(battery.folder)));
    return addAll(watts);
  };
  return (await read()) === null ? null : { read };
}

async function readBatteryWatts(folder: string): Promise<number | null> {
  const power = await readWhole(join(folder, 'power_now'));
  if (power !== null) return power === 0 ? null : Math.abs(power) / 1e6;
  const [current, voltage] = await Promise.all([
    readWhole(join(folder, 'current_now')),
    readWhole(join(folder, 'voltage_now')),
  ]);
  return current && voltage ? (Math.abs(current) / 1e6) * (voltage / 1e6) : null;
}

/** Sum of gauges that all answer; null when one does not, or there are none. */
function addAll(watts: readonly (number | null)[]): number | null {
  let sum: number | null = null;
  for (const value of watts) {
    if (value === null) return null;
    sum = (sum ?? 0) + value;
  }
  return sum;
}

/** Names of rails that feed the whole board. @source NVIDIA Jetson Linux guide, power monitors */
const INPUT_RAIL = /^(VDD_IN|POM_5V_IN|VIN|DC_IN|VDD_DCIN)$/i;

interface Rail extends PowerGauge {
  readonly label: string;
}

/**
 * A Texas Instruments INA monitor on the board's supply: a rail that is labelled as the board's
 * input, or the only one there is when it has no label. A part of the board, or a sum that counts
 * parts twice, is no figure of the device.
 * @source Documentation/hwmon/ina2xx.rst (power1_input in µW) and ina3221.rst (in*_input in mV,
 *   curr*_input in mA, in*_label)
 */
export async function findInaGauge(root: string): Promise<PowerGauge | null> {
  const folder = join(root, 'sys/class/hwmon');
  const rails: Rail[] = [];
  for (const chip of await listNames(folder, /^hwmon\d+$/)) {
    const name = (await readText(join(folder, chip, 'name'))) ?? '';
    if (/^ina\d/.test(name)) rails.push(...(await listRails(join(folder, chip))));
  }
  const inputs = rails.filter(({ label }) => INPUT_RAIL.test(label));
  const [only] = inputs.length > 0 ? inputs : rails.filter(({ label }) => label === '');
  return only && (inputs.length === 1 || rails.length === 1) ? only : null;
}

async function listRails(chip: string): Promise<Rail[]> {
  const file = (name: string): Promise<number | null> => readWhole(join(chip, name));
  const rails: Rail[] = [];
  const add = async (label: string | null, read: () => Promise<number | null>): Promise<void> => {
    if ((await read()) !== null) rails.push({ label: label ?? '', read });
  };
  const powers = await listNames(chip, /^power\d+_input$/);
  for (const power of powers)
    await add(await readText(join(chip, power.replace(/input$/, 'label'))), async () =>
      scaled(await file(power)),
    );
  if (powers.length > 0) return rails;
  for (const current of await listNames(chip, /^curr[123]_input$/)) {
    const voltage = current.replace('curr', 'in');
    await add(await readText(join(chip, voltage.replace(/input$/, 'label'))), async () => {
      const [milliamperes, millivolts] = [await file(current), await file(voltage)];
      return milliamperes === null || millivolts === null ? null : scaled(milliamperes * millivolts);
    });
  }
  return rails;
}

/** Watts of microwatts; a device that takes nothing is a monitor that is not wired. */
function scaled(microwatts: number | null): number | null {
  return microwatts === null || microwatts <= 0 ? null : microwatts / 1e6;
}
