import { gateLimitsOf, openMachine } from '@fleetlora/agent/host';
import {
  countList,
  parseProcessors,
  prettyNameOf,
  readHardware,
  readSensors,
  readSoftware,
} from '@fleetlora/agent/qualify';
import { systemClock } from '@fleetlora/shared/clock';
import { Hardware, parseAs, ReportedSensors, ReportedSoftware } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { type KernelFiles, layMachine, recordedMachines } from '../lib/recorded-machines.js';
import { testFacts } from '../lib/test-device.js';

/** What a machine's files say beside what a report may tell. */
const secrets: KernelFiles = {
  'proc/device-tree/serial-number': '10000000fedcba98',
  'sys/class/dmi/id/product_serial': 'PF3SECRET',
  'sys/class/dmi/id/product_uuid': '4c4c4544-0043-3010-8052-b4c04f564231',
  'sys/class/dmi/id/board_serial': 'L1HF12SECRET',
  'sys/class/net/eth0/address': 'dc:a6:32:01:23:45',
  'etc/hostname': 'kitchen-secret',
  'etc/machine-id': '0123456789abcdef0123456789abcdef',
  'proc/sys/kernel/random/boot_id': '6c1f2c14-2f0e-4a53-9c6d-000000000000',
  'sys/class/power_supply/BAT0/serial_number': '4711SECRET',
};
const traces = /secret|10000000fedcba98|4c4c4544|dc:a6:32|kitchen|0123456789abcdef|6c1f2c14/i;

const frequencies = (kHz: readonly number[]): KernelFiles =>
  Object.fromEntries(
    kHz.map((value, cpu) => [`sys/devices/system/cpu/cpu${cpu}/cpufreq/cpuinfo_max_freq`, `${value}`]),
  );
const cache = (index: number, level: number, type: string, size: string, cpus: string): KernelFiles => ({
  [`sys/devices/system/cpu/cpu0/cache/index${index}/level`]: `${level}`,
  [`sys/devices/system/cpu/cpu0/cache/index${index}/type`]: type,
  [`sys/devices/system/cpu/cpu0/cache/index${index}/size`]: size,
  [`sys/devices/system/cpu/cpu0/cache/index${index}/shared_cpu_list`]: cpus,
});
const armCores = (parts: readonly string[]): KernelFiles => ({
  'proc/cpuinfo': [
    ...parts.map(
      (part, core) =>
        `processor\t: ${core}\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd fphp asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: ${part}\n`,
    ),
    'Hardware\t: BCM2835\nRevision\t: d04170\nSerial\t\t: 10000000fedcba98\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0',
  ].join('\n'),
});

async function read(
  t: Test,
  facts: Partial<typeof testFacts>,
  ...files: readonly KernelFiles[]
): Promise<Hardware> {
  const root = await layMachine(t, ...files, secrets);
  const hardware = await readHardware({
    facts: { ...testFacts, ...facts },
    root,
    cores: 4,
    memoryBytes: 8e9,
  });
  t.notMatch(JSON.stringify(hardware), traces, 'nothing that tells this machine from the next');
  return parseAs(Hardware, hardware, 'hardware');
}

t.test('a Raspberry Pi 5: board, cores, instructions', async (t) => {
  const model = { 'proc/device-tree/model': 'Raspberry Pi 5 Model B Rev 1.0\0' };
  const files = [
    recordedMachines.raspberryPi5,
    armCores(['0xd0b', '0xd0b', '0xd0b', '0xd0b']),
    frequencies([2.4e6, 2.4e6, 2.4e6, 2.4e6]),
    model,
  ];
  t.strictSame(await read(t, { cpuModel: 'Cortex-A76' }, ...files), {
    board: 'Raspberry Pi 5 Model B Rev 1.0',
    cpuModel: 'Cortex-A76',
    arch: 'arm64',
    cores: 4,
    coreKinds: [{ count: 4, model: 'cortex-a76', maxMHz: 2400 }],
    caches: [],
    instructions: ['asimd', 'asimdhp', 'asimddp'],
    memoryBytes: 8e9,
    emulated: false,
    virtualMachine: null,
  });
});

t.test('a board of two kinds of cores: the fastest first, unknown designs by their numbers', async (t) => {
  const { coreKinds } = await read(
    t,
    {},
    armCores(['0xd05', '0xd05', '0xd0b', '0xfff']),
    frequencies([1.8e6, 1.8e6, 2.256e6, 2.4e6]),
  );
  t.strictSame(coreKinds, [
    { count: 1, model: 'implementer 0x41, part 0xfff', maxMHz: 2400 },
    { count: 1, model: 'cortex-a76', maxMHz: 2256 },
    { count: 2, model: 'cortex-a55', maxMHz: 1800 },
  ]);
});

t.test('a laptop: maker and product, caches with who shares them', async (t) => {
  const hardware = await read(
    t,
    { arch: 'x64' },
    recordedMachines.intelLaptop,
    frequencies([4.4e6]),
    { 'sys/class/dmi/id/sys_vendor': 'LENOVO', 'sys/class/dmi/id/product_name': '20XW0026GE' },
    { 'sys/class/dmi/id/product_version': 'ThinkPad X1 Carbon Gen 9' },
    cache(0, 1, 'Data', '48K', '0,4'),
    cache(1, 1, 'Instruction', '32K', '0,4'),
    cache(2, 2, 'Unified', '1280K', '0,4'),
    cache(3, 3, 'Unified', '8192K', '0-7'),
    cache(4, 3, 'Wonderful', '8192K', '0-7'),
  );
  t.match(hardware, { board: 'LENOVO 20XW0026GE ThinkPad X1 Carbon Gen 9', virtualMachine: false });
  t.strictSame(hardware.instructions, ['avx2']);
  t.strictSame(hardware.caches, [
    { level: 1, type: 'data', bytes: 49152, cores: 2 },
    { level: 1, type: 'instruction', bytes: 32768, cores: 2 },
    { level: 2, type: 'unified', bytes: 1310720, cores: 2 },
    { level: 3, type: 'unified', bytes: 8388608, cores: 8 },
  ]);
  t.match(hardware.coreKinds, [{ count: 1, model: /i5-1145G7/, maxMHz: 4400 }]);
});

t.test('a virtual machine, and a board whose maker left the names out', async (t) => {
  t.match(await read(t, { arch: 'x64' }, recordedMachines.amdGuest), {
    board: null,
    virtualMachine: true,
    coreKinds: [{ count: 1, model: 'AMD EPYC', maxMHz: null }],
  });
  const unnamed = {
    'sys/class/dmi/id/sys_vendor': 'To Be Filled By O.E.M.',
    'sys/class/dmi/id/product_name': 'X570',
  };
  t.match(await read(t, {}, unnamed), { board: 'X570' });
});

t.test('an emulated processor: the files around it are of another machine, and tell nothing', async (t) => {
  const hardware = await read(
    t,
    { emulated: true, cpuModel: 'emulated cortex-a72' },
    recordedMachines.intelLaptop,
    frequencies([4.4e6]),
    cache(0, 1, 'Data', '48K', '0,4'),
    { 'sys/class/dmi/id/product_name': 'X570' },
  );
  t.match(hardware, { emulated: true, cpuModel: 'emulated cortex-a72', board: null, virtualMachine: null });
  t.strictSame([hardware.coreKinds, hardware.caches, hardware.instructions], [[], [], []]);
});

t.test('a system without /proc and /sys', async (t) => {
  t.match(await read(t, {}), {
    board: null,
    coreKinds: [],
    caches: [],
    instructions: [],
    virtualMachine: null,
  });
});

for (const [name, wanted] of [
  ['raspberryPi5', { governor: 'ondemand', throttling: true, onMains: null, energy: null }],
  ['intelLaptop', { governor: 'powersave', throttling: true, onMains: false, energy: 'rapl' }],
  ['amdGuest', { governor: null, throttling: false, onMains: null, energy: null, thermometers: [] }],
] as const)
  t.test(`sensors of a ${name}`, async (t) => {
    const root = await layMachine(t, recordedMachines[name], secrets);
    const limits = gateLimitsOf({ coolWaitSeconds: 0, quietWaitSeconds: 0 });
    const machine = await openMachine({ clock: systemClock, limits, root, emulated: false });
    const sensors = await readSensors(machine, root);
    t.match(parseAs(ReportedSensors, sensors, 'sensors'), wanted);
    t.notMatch(JSON.stringify(sensors), traces);
  });

t.test('software: the distribution by its name for people', async (t) => {
  const root = await layMachine(t, {
    'etc/os-release': 'NAME="Debian"\nPRETTY_NAME="Debian 12 (bookworm)"\nID=debian',
  });
  const software = await readSoftware(testFacts, root);
  parseAs(ReportedSoftware, software, 'software');
  t.match(software, { distribution: 'Debian 12 (bookworm)', agent: '0.3.0', os: 'linux' });
  t.equal(prettyNameOf("PRETTY_NAME='Alpine Linux'"), 'Alpine Linux');
  t.equal(prettyNameOf('PRETTY_NAME=Arch'), 'Arch');
  t.equal(prettyNameOf('NAME=Nothing'), null);
});

t.test('lists of cores, and entries of processors', async (t) => {
  t.strictSame(['0', '0-3', '0-3,8', '0,2,4', '', 'x'].map(countList), [1, 4, 5, 3, 0, 0]);
  t.strictSame(parseProcessors('processor : 0\nflags : a b\n\nprocessor : 1\n\nHardware : x\nSerial : 1\n'), [
    { processor: '0', flags: 'a b' },
    { processor: '1' },
  ]);
});
