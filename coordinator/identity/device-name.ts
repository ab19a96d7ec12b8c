import type { DeviceFacts } from '@fleetlora/shared/protocol';

const LONGEST = 64;

/**
 * The class of a device whose code names none: architecture, processor and cores, so that devices
 * of one class measure alike. For example "arm64-cortex-a72-4c".
 */
export function deriveDeviceClass(facts: DeviceFacts): string {
  const cores = `${facts.cores}c`;
  const model = slug(facts.cpuModel) || slug(facts.os) || 'unknown';
  const arch = slug(facts.arch) || 'unknown';
  const room = LONGEST - arch.length - cores.length - 2;
  return `${arch}-${model.slice(0, room).replace(/-$/, '')}-${cores}`;
}

/** A device name that nobody has: the wanted one, else with the first free number behind it. */
export async function chooseDeviceName(
  wanted: string,
  isTaken: (name: string) => Promise<boolean>,
): Promise<string> {
  const stem = wanted.replace(/[^A-Za-z0-9._ -]/g, '-').replace(/^[^A-Za-z0-9]+/, '') || 'device';
  for (let number = 1; ; number++) {
    const suffix = number === 1 ? '' : `-${number}`;
    const name = stem.slice(0, LONGEST - suffix.length) + suffix;
    if (!(await isTaken(name))) return name;
  }
}

/** Lower case, without marketing marks, words joined by single hyphens. */
function slug(text: string): string {
  return text
    .toLowerCase()
    .replace(/\((r|tm|c)\)|\bcpu\b|\bprocessor\b|@.*$/g, ' ')
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/^[-.]+|-+$/g, '')
    .slice(0, LONGEST / 2);
}
