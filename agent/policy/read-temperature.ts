import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readText } from './read-text.js';

/**
 * Zones that are no thermometer of the device itself: the policy device of Intel's DPTF, which
 * answers 20 °C for ever, and radios and batteries, which are hot or cold on their own account.
 */
const FOREIGN_ZONE = /^(INT34\d\d|iwlwifi|ath\d+k|mt7\d|battery|bms|charger|BAT)/i;
/** Processors of PCs that have no thermal zone. */
const PROCESSOR_CHIPS = ['coretemp', 'k10temp', 'zenpower', 'cpu_thermal'];

/** A sensor that is switched off or broken answers with numbers that no running board survives. */
const isSane = (celsius: number): boolean => celsius > -40 && celsius < 130;

/**
 * Degrees Celsius of the hottest part, to a tenth; null without a thermometer.
 * @param root holds the folders `thermal` and `hwmon`
 * @source Documentation/ABI/testing/sysfs-class-thermal and sysfs-class-hwmon: millidegrees
 */
export async function readTemperatureC(root = '/sys/class'): Promise<number | null> {
  const found = await readZones(join(root, 'thermal'));
  if (found.length === 0) found.push(...(await readChips(join(root, 'hwmon'))));
  return found.length === 0 ? null : Math.max(...found);
}

async function readZones(folder: string): Promise<number[]> {
  const found: (number | null)[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith('thermal_zone')) continue;
    const type = (await readText(join(folder, name, 'type'))) ?? '';
    if (!FOREIGN_ZONE.test(type)) found.push(toCelsius(await readText(join(folder, name, 'temp'))));
  }
  return found.filter((value) => value !== null);
}

async function readChips(folder: string): Promise<number[]> {
  const found: (number | null)[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!PROCESSOR_CHIPS.includes((await readText(join(folder, name, 'name'))) ?? '')) continue;
    for (const file of await readdir(join(folder, name)).catch(() => []))
      if (/^temp\d+_input$/.test(file)) found.push(toCelsius(await readText(join(folder, name, file))));
  }
  return found.filter((value) => value !== null);
}

function toCelsius(text: string | null): number | null {
  if (text === null || !/^-?\d{1,9}$/.test(text)) return null;
  const celsius = Math.round(Number(text) / 100) / 10;
  return isSane(celsius) ? celsius : null;
}
