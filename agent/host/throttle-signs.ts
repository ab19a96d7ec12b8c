import { join } from 'node:path';
import { listFrequencyPolicies } from './read-governor.js';
import { listNames, readText, readWhole } from './read-text.js';

/** Everything on this machine that shows throttling, looked at again and again from one moment on. */
export interface ThrottleSigns {
  /**
   * Whether one of them can be believed when it shows none. The others only ever prove that there
   * was some.
   */
  readonly canDeny: boolean;
  /** Whether the processor is, or was since the last look, slower for heat or power. */
  look(): Promise<boolean>;
}

interface Sign {
  readonly canDeny: boolean;
  look(): Promise<boolean>;
}

/**
 * Finds the signs, and takes the state of those that count as their zero.
 * @param root of the file system, another one for recorded machines
 */
export async function openThrottleSigns(root = '/'): Promise<ThrottleSigns> {
  const found = [
    await openCounters(root),
    await openCoolingDevices(root),
    await openPiFirmware(root),
    await openPiVoltage(root),
    await openFrequencyCaps(root),
  ].filter((sign) => sign !== null);
  // What a guest sees of cooling is its hypervisor's invention; the heat of the host is hidden.
  const guest = /^flags\s*:.*\bhypervisor\b/m.test((await readText(join(root, 'proc/cpuinfo'))) ?? '');
  return {
    canDeny: !guest && found.some(({ canDeny }) => canDeny),
    async look() {
      const seen = await Promise.all(found.map((sign) => sign.look()));
      return seen.includes(true);
    },
  };
}

/**
 * Intel's counters of thermal events, of each core and of its package; no reset, so a rise tells.
 * @source Documentation/ABI/testing/sysfs-devices-system-cpu: thermal_throttle
 */
async function openCounters(root: string): Promise<Sign | null> {
  const cpus = join(root, 'sys/devices/system/cpu');
  const paths: string[] = [];
  for (const cpu of await listNames(cpus, /^cpu\d+$/))
    for (const file of ['core_throttle_count', 'package_throttle_count']) {
      const path = join(cpus, cpu, 'thermal_throttle', file);
      if ((await readWhole(path)) !== null) paths.push(path);
    }
  if (paths.length === 0) return null;
  const readAll = async (): Promise<(number | null)[]> => Promise.all(paths.map(readWhole));
  let before = await readAll();
  return {
    canDeny: true,
    async look() {
      const now = await readAll();
      const rose = now.some((count, index) => (count ?? 0) > (before[index] ?? Number.POSITIVE_INFINITY));
      before = now;
      return rose;
    },
  };
}

/** Cooling by a lower frequency or forced idleness; fans and screens are cooling devices too. */
const PROCESSOR_COOLING = /^(Processor|cpufreq-|thermal-cpufreq-|thermal-idle-|idle-|intel_powerclamp)/i;
/** Those through which the kernel itself cools; where a PC's firmware does so, ACPI's show nothing. */
const KERNEL_COOLING = /^(cpufreq-|thermal-cpufreq-)/i;

/** @source Documentation/ABI/testing/sysfs-class-thermal: cur_state 0 is no cooling, -1 not in use */
async function openCoolingDevices(root: string): Promise<Sign | null> {
  const folder = join(root, 'sys/class/thermal');
  const paths: string[] = [];
  let canDeny = false;
  for (const name of await listNames(folder, /^cooling_device\d+$/)) {
    const type = (await readText(join(folder, name, 'type'))) ?? '';
    if (!PROCESSOR_COOLING.test(type)) continue;
    const path = join(folder, name, 'cur_state');
    if ((await readWhole(path)) === null) continue;
    paths.push(path);
    canDeny ||= KERNEL_COOLING.test(type);
  }
  if (paths.length === 0) return null;
  return {
    canDeny,
    look: async () => (await Promise.all(paths.map(readWhole))).some((state) => (state ?? 0) > 0),
  };
}

/** Bits of the Raspberry Pi's firmware: capped, throttled, soft limit; the same 16 above: since the last poll. */
const PI_NOW = 0b1110;
const PI_STICKY = PI_NOW << 16;

/**
 * The Raspberry Pi's firmware, in hexadecimal without a prefix. The kernel polls it every two
 * seconds and keeps the answer. Sticky bits tell what happened before this moment too, so only
 * those count that were not set at the look before.
 * @source Raspberry Pi documentation, vcgencmd get_throttled; drivers/firmware/raspberrypi.c
 */
async function openPiFirmware(root: string): Promise<Sign | null> {
  const platform = join(root, 'sys/devices/platform');
  // A node of the device tree's "soc" on most boards and of its root on others, with addresses in both names or not.
  const folders = [platform];
  for (const soc of await listNames(platform, /^soc(@|$)/)) folders.push(join(platform, soc));
  for (const folder of folders)
    for (const firmware of await listNames(folder, /(^|:)firmware(:|$)/)) {
      const read = async (): Promise<number | null> => {
        const text = await readText(join(folder, firmware, 'get_throttled'));
        return text !== null && /^(0x)?[0-9a-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : null;
      };
      let before = await read();
      if (before === null) continue;
      return {
        canDeny: true,
        async look() {
          const now = (await read()) ?? 0;
          const fresh = now & PI_STICKY & ~(before ?? 0);
          before = now;
          return (now & PI_NOW) !== 0 || fresh !== 0;
        },
      };
    }
  return null;
}

/** The Raspberry Pi's under-voltage alarm, the only sign that its firmware shows on other kernels; it then slows down. */
async function openPiVoltage(root: string): Promise<Sign | null> {
  const folder = join(root, 'sys/class/hwmon');
  for (const chip of await listNames(folder, /^hwmon\d+$/)) {
    if ((await readText(join(folder, chip, 'name'))) !== 'rpi_volt') continue;
    const path = join(folder, chip, 'in0_lcrit_alarm');
    return { canDeny: false, look: async () => (await readWhole(path)) === 1 };
  }
  return null;
}

/**
 * The highest frequency that is allowed. A vendor's thermal service lowers it from outside the
 * kernel; so does a user, but hardly during a measurement: what counts is a fall below the value
 * at the begin.
 */
async function openFrequencyCaps(root: string): Promise<Sign | null> {
  const paths = (await listFrequencyPolicies(root)).map((policy) => join(policy, 'scaling_max_freq'));
  const atBegin = await Promise.all(paths.map(readWhole));
  if (atBegin.every((value) => value === null)) return null;
  return {
    canDeny: false,
    async look() {
      const now = await Promise.all(paths.map(readWhole));
      return now.some((value, index) => value !== null && value < (atBegin[index] ?? 0));
    },
  };
}
