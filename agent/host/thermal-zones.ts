import { join } from 'node:path';
import { listNames, readText, readWhole } from './read-text.js';

/** One thermometer of the device. */
export interface ThermalZone {
  readonly name: string;
  /** Degrees Celsius, to a tenth. */
  readonly celsius: number;
  /** From here on the kernel slows the processor down; null when the zone does not tell. */
  readonly slowsFromC: number | null;
}

/**
 * Zones that are no thermometer of the device itself: the policy device of Intel's DPTF, which
 * answers 20 °C for ever; radios and batteries, which are hot or cold on their own account; and
 * what phones' chips disguise as zones: voltages, currents and the state of charge.
 */
const FOREIGN_ZONE = /^(INT34\d\d|iwlwifi|ath\d+k|mt7\d|battery|bms|charger|BAT|vbat|ibat|vph|bcl|socd?$)/i;
/** Processors of PCs that have no thermal zone. */
const PROCESSOR_CHIPS = ['coretemp', 'k10temp', 'zenpower', 'cpu_thermal'];

/** A sensor that is switched off or broken answers with numbers that no running board survives. */
const isSane = (celsius: number): boolean => celsius > -40 && celsius < 130;
/** A trip point that nobody programmed reads 0 or the absolute zero. */
const isTrip = (celsius: number): boolean => celsius >= 35 && celsius < 130;

/**
 * The thermometers of the device; none where there is none.
 * @param root of the file system, another one for recorded machines
 * @source Documentation/ABI/testing/sysfs-class-thermal and sysfs-class-hwmon: millidegrees;
 *   a `passive` trip slows the processor, a `hot` one warns
 */
export async function readThermalZones(root = '/'): Promise<ThermalZone[]> {
  const zones = await readZones(join(root, 'sys/class/thermal'));
  return zones.length > 0 ? zones : readChips(join(root, 'sys/class/hwmon'));
}

/** Degrees Celsius of the hottest part, to a tenth; null without a thermometer. */
export async function readTemperatureC(root = '/'): Promise<number | null> {
  const zones = await readThermalZones(root);
  return zones.length === 0 ? null : Math.max(...zones.map(({ celsius }) => celsius));
}

async function readZones(classFolder: string): Promise<ThermalZone[]> {
  const found: ThermalZone[] = [];
  for (const zone of await listNames(classFolder, /^thermal_zone\d+$/)) {
    const folder = join(classFolder, zone);
    const name = (await readText(join(folder, 'type'))) ?? zone;
    if (FOREIGN_ZONE.test(name)) continue;
    const celsius = await readCelsius(join(folder, 'temp'));
    if (celsius !== null) found.push({ name, celsius, slowsFromC: await readTrip(folder) });
  }
  return found;
}

/** The lowest of the trip points that slow down. */
async function readTrip(folder: string): Promise<number | null> {
  let lowest: number | null = null;
  for (const file of await listNames(folder, /^trip_point_\d+_type$/)) {
    const type = await readText(join(folder, file));
    if (type !== 'passive' && type !== 'hot') continue;
    const milli = await readWhole(join(folder, file.replace(/type$/, 'temp')));
    if (milli === null || !isTrip(milli / 1000)) continue;
    lowest = Math.min(lowest ?? Number.POSITIVE_INFINITY, milli / 1000);
  }
  return lowest;
}

async function readChips(classFolder: string): Promise<ThermalZone[]> {
  const found: ThermalZone[] = [];
  for (const chip of await listNames(classFolder, /^hwmon\d+$/)) {
    const folder = join(classFolder, chip);
    const name = (await readText(join(folder, 'name'))) ?? '';
    if (!PROCESSOR_CHIPS.includes(name)) continue;
    for (const file of await listNames(folder, /^temp\d+_input$/)) {
      const celsius = await readCelsius(join(folder, file));
      if (celsius !== null) found.push({ name: `${name}/${file}`, celsius, slowsFromC: null });
    }
  }
  return found;
}

async function readCelsius(path: string): Promise<number | null> {
  const milli = await readWhole(path);
  if (milli === null) return null;
  const celsius = Math.round(milli / 100) / 10;
  return isSane(celsius) ? celsius : null;
}
