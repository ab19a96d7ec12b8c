import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './temp-folder.js';

/** Files of the kernel by path, each without its last line break. */
export type KernelFiles = Readonly<Record<string, string>>;

/** Lays files below `root`, over those that lie there. */
export async function layFiles(root: string, files: KernelFiles): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${text}\n`);
  }
}

/** A machine in a folder of the test's own; answers the root of its file system. */
export async function layMachine(t: Test, ...files: readonly KernelFiles[]): Promise<string> {
  const root = await tempFolder(t);
  await layFiles(root, Object.assign({}, ...files));
  return root;
}

const under = (folder: string, files: KernelFiles): KernelFiles =>
  Object.fromEntries(Object.entries(files).map(([path, text]) => [`${folder}/${path}`, text]));
const perCore = (cores: number, folder: (core: number) => string, files: KernelFiles): KernelFiles =>
  Object.assign({}, ...Array.from({ length: cores }, (_, core) => under(folder(core), files)));

/** Ticks of each core since boot, as /proc/stat has them. */
export interface CoreTicks {
  readonly user?: number;
  readonly nice?: number;
  readonly system?: number;
  readonly idle?: number;
  readonly iowait?: number;
  readonly irq?: number;
  readonly softirq?: number;
  readonly steal?: number;
}

/** /proc/stat of cores with these ticks. @source proc_stat(5) */
export function statFile(cores: readonly CoreTicks[]): KernelFiles {
  const fields = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'] as const;
  const line = (name: string, of: readonly CoreTicks[]): string =>
    `${name} ${fields.map((field) => of.reduce((sum, ticks) => sum + (ticks[field] ?? 0), 0)).join(' ')} 0 0`;
  return {
    'proc/stat': [
      line('cpu ', cores),
      ...cores.map((ticks, core) => line(`cpu${core}`, [ticks])),
      'intr 38846940 0 0 0',
      'ctxt 182416131',
      'btime 1795498126',
      'processes 341730',
      'procs_running 2',
      'procs_blocked 0',
    ].join('\n'),
  };
}

/** A process as /proc has it. @source proc_pid_stat(5) */
export interface RecordedProcess {
  readonly pid: number;
  readonly parent: number;
  readonly name?: string;
  readonly utime?: number;
  readonly stime?: number;
  /** Of children that were waited for. */
  readonly cutime?: number;
  readonly cstime?: number;
}

export function processFiles(processes: readonly RecordedProcess[]): KernelFiles {
  return Object.fromEntries(
    processes.map(({ pid, parent, name = 'node', utime = 0, stime = 0, cutime = 0, cstime = 0 }) => [
      `proc/${pid}/stat`,
      `${pid} (${name}) S ${parent} ${pid} ${pid} 0 -1 4194304 9523 0 0 0 ${utime} ${stime} ${cutime} ${cstime} 20 0 11 0 81234 1090519040 12400`,
    ]),
  );
}

/** Raspberry Pi OS of 2024: the fan's trips are active ones, and the firmware slows down on its own. */
export const raspberryPi5: KernelFiles = {
  'proc/sys/kernel/arch': 'aarch64',
  'proc/cpuinfo': [0, 1, 2, 3]
    .map(
      (core) =>
        `processor\t: ${core}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n`,
    )
    .join('\n'),
  ...statFile([{ idle: 1000 }, { idle: 1000 }, { idle: 1000 }, { idle: 1000 }]),
  ...under('sys/class/thermal/thermal_zone0', {
    type: 'cpu-thermal',
    temp: '48350',
    policy: 'step_wise',
    trip_point_0_type: 'critical',
    trip_point_0_temp: '110000',
    trip_point_1_type: 'active',
    trip_point_1_temp: '50000',
    trip_point_2_type: 'active',
    trip_point_2_temp: '60000',
  }),
  ...under('sys/class/thermal/cooling_device0', { type: 'pwm-fan', cur_state: '2', max_state: '4' }),
  ...under('sys/class/hwmon/hwmon0', { name: 'cpu_thermal', temp1_input: '48350' }),
  ...under('sys/class/hwmon/hwmon1', { name: 'rp1_adc', temp1_input: '51203', in1_input: '1436' }),
  ...under('sys/class/hwmon/hwmon2', { name: 'rpi_volt', in0_lcrit_alarm: '0' }),
  'sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled': '0',
  ...under('sys/devices/system/cpu/cpufreq/policy0', {
    scaling_governor: 'ondemand',
    cpuinfo_max_freq: '2400000',
    scaling_max_freq: '2400000',
  }),
};

/** A four-core Intel laptop on its battery, whose RAPL counters may be read. */
export const intelLaptop: KernelFiles = {
  'proc/sys/kernel/arch': 'x86_64',
  'proc/cpuinfo':
    'processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: 11th Gen Intel(R) Core(TM) i5-1145G7 @ 2.60GHz\nflags\t\t: fpu vme de pse tsc msr dts acpi mmx fxsr sse sse2 avx2 dtherm ida arat pln pts',
  ...statFile([{ idle: 1000 }, { idle: 1000 }, { idle: 1000 }, { idle: 1000 }]),
  ...under('sys/class/thermal/thermal_zone0', { type: 'INT3400 Thermal', temp: '20000' }),
  ...under('sys/class/thermal/thermal_zone1', {
    type: 'TCPU',
    temp: '47050',
    trip_point_0_type: 'critical',
    trip_point_0_temp: '105050',
    trip_point_1_type: 'hot',
    trip_point_1_temp: '103050',
    trip_point_2_type: 'passive',
    trip_point_2_temp: '97050',
  }),
  ...under('sys/class/thermal/thermal_zone2', {
    type: 'x86_pkg_temp',
    temp: '49000',
    trip_point_0_type: 'passive',
    trip_point_0_temp: '0',
  }),
  ...under('sys/class/thermal/thermal_zone3', { type: 'iwlwifi_1', temp: '66000' }),
  ...perCore(4, (core) => `sys/class/thermal/cooling_device${core}`, {
    type: 'Processor',
    cur_state: '0',
    max_state: '10',
  }),
  ...under('sys/class/thermal/cooling_device4', { type: 'intel_powerclamp', cur_state: '-1' }),
  ...under('sys/class/thermal/cooling_device5', { type: 'TCC Offset', cur_state: '3' }),
  ...under('sys/class/thermal/cooling_device6', { type: 'LCD', cur_state: '2' }),
  ...perCore(4, (core) => `sys/devices/system/cpu/cpu${core}/thermal_throttle`, {
    core_throttle_count: '12',
    package_throttle_count: '417',
  }),
  ...perCore(4, (core) => `sys/devices/system/cpu/cpufreq/policy${core}`, {
    scaling_governor: 'powersave',
    cpuinfo_max_freq: '4400000',
    scaling_max_freq: '4400000',
  }),
  ...under('sys/class/powercap/intel-rapl:0', {
    name: 'package-0',
    energy_uj: '262143000000',
    max_energy_range_uj: '262143328850',
  }),
  ...under('sys/class/powercap/intel-rapl:0:0', {
    name: 'core',
    energy_uj: '111000000',
    max_energy_range_uj: '262143328850',
  }),
  ...under('sys/class/powercap/intel-rapl:1', {
    name: 'psys',
    energy_uj: '900000000',
    max_energy_range_uj: '262143328850',
  }),
  ...under('sys/class/powercap/intel-rapl-mmio:0', {
    name: 'package-0',
    energy_uj: '262143000000',
    max_energy_range_uj: '262143328850',
  }),
  ...under('sys/class/power_supply/AC', { type: 'Mains', online: '0' }),
  ...under('sys/class/power_supply/BAT0', {
    type: 'Battery',
    status: 'Discharging',
    power_now: '7350000',
    energy_now: '31020000',
  }),
  ...under('sys/class/power_supply/hidpp_battery_0', {
    type: 'Battery',
    scope: 'Device',
    status: 'Discharging',
    power_now: '90000',
  }),
};

/** An AMD server's virtual machine: nothing but time. */
export const amdGuest: KernelFiles = {
  'proc/sys/kernel/arch': 'x86_64',
  'proc/cpuinfo':
    'processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu vme de pse tsc msr sse sse2 syscall nx hypervisor lahf_lm avx2 avx512f',
  ...statFile([{ idle: 1000 }, { idle: 1000 }]),
};

/**
 * An Android-like board: zones that are no thermometers, a vendor's clusters with governors of
 * their own, a battery on its charger, and an INA226 on the supply.
 */
export const androidBoard: KernelFiles = {
  'proc/sys/kernel/arch': 'aarch64',
  'proc/cpuinfo':
    'processor\t: 0\nFeatures\t: fp asimd aes crc32\nCPU implementer\t: 0x51\nCPU architecture: 8\nCPU variant\t: 0x7\nCPU part\t: 0x803\nCPU revision\t: 12\n',
  ...statFile(Array.from({ length: 8 }, () => ({ idle: 1000 }))),
  ...under('sys/class/thermal/thermal_zone0', { type: 'cpu-0-0-usr', temp: '52700' }),
  ...under('sys/class/thermal/thermal_zone1', {
    type: 'cpu-1-3-usr',
    temp: '61200',
    trip_point_0_type: 'passive',
    trip_point_0_temp: '95000',
  }),
  ...under('sys/class/thermal/thermal_zone2', {
    type: 'skin-therm',
    temp: '33100',
    trip_point_0_type: 'passive',
    trip_point_0_temp: '46000',
    trip_point_1_type: 'hot',
    trip_point_1_temp: '52000',
  }),
  ...under('sys/class/thermal/thermal_zone3', { type: 'vbat', temp: '4312' }),
  ...under('sys/class/thermal/thermal_zone4', { type: 'soc', temp: '93000' }),
  ...under('sys/class/thermal/thermal_zone5', { type: 'battery', temp: '34000' }),
  ...under('sys/class/thermal/thermal_zone6', { type: 'modem-usr', temp: '-273000' }),
  ...under('sys/class/thermal/thermal_zone10', { type: 'soc-thermal', temp: '50000' }),
  ...under('sys/class/thermal/cooling_device0', { type: 'thermal-cpufreq-0', cur_state: '0' }),
  ...under('sys/class/thermal/cooling_device1', { type: 'thermal-cpufreq-4', cur_state: '0' }),
  ...under('sys/class/thermal/cooling_device2', { type: 'panel0-backlight', cur_state: '40' }),
  ...under('sys/class/thermal/cooling_device3', { type: 'thermal-devfreq-0', cur_state: '3' }),
  ...under('sys/devices/system/cpu/cpufreq/policy0', {
    scaling_governor: 'schedutil',
    scaling_max_freq: '1766400',
  }),
  ...under('sys/devices/system/cpu/cpufreq/policy4', {
    scaling_governor: 'performance',
    scaling_max_freq: '2649600',
  }),
  ...under('sys/class/power_supply/usb', { type: 'USB', online: '1' }),
  ...under('sys/class/power_supply/battery', {
    type: 'Battery',
    status: 'Charging',
    current_now: '812000',
    voltage_now: '4312000',
  }),
  ...under('sys/class/hwmon/hwmon0', { name: 'pmic', temp1_input: '40000', power1_input: '99000000' }),
  ...under('sys/class/hwmon/hwmon1', {
    name: 'ina226',
    in1_input: '5012',
    curr1_input: '718',
    power1_input: '3600000',
  }),
};

export const recordedMachines = { raspberryPi5, intelLaptop, amdGuest, androidBoard } as const;
