import { armCoreName, readEmulation, readThisEmulation } from '@fleetlora/agent/host';
import { readDeviceFacts } from '@fleetlora/agent/identity';
import { DeviceFacts, parseAs } from '@fleetlora/shared/protocol';
import t from 'tap';
import {
  androidBoard,
  type KernelFiles,
  layMachine,
  raspberryPi5,
  recordedMachines,
} from '../lib/recorded-machines.js';

for (const [name, arch] of [
  ['raspberryPi5', 'arm64'],
  ['raspberryPi5', 'arm'],
  ['intelLaptop', 'x64'],
  ['intelLaptop', 'ia32'],
  ['amdGuest', 'x64'],
  ['androidBoard', 'arm64'],
] as const)
  t.test(`${arch} on a ${name} is the machine's own`, async (t) => {
    const root = await layMachine(t, recordedMachines[name]);
    t.same(await readEmulation({ root, arch, cpuModel: 'some', env: {} }), { emulated: false, model: null });
  });

const x64 = { 'proc/sys/kernel/arch': 'x86_64' };
const oldKernel = { 'proc/cpuinfo': 'processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC' };
const givenCpu = (part: string): KernelFiles => ({
  'proc/cpuinfo': `processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: ${part}\nCPU revision\t: 3`,
});
const apple = {
  'proc/cpuinfo': 'processor\t: 0\nvendor_id\t: VirtualApple\nmodel name\t: VirtualApple @ 2.50GHz',
};
const emulations: readonly (readonly [
  string,
  KernelFiles,
  string,
  Record<string, string>,
  string,
  string | null,
])[] = [
  ['qemu-user for arm64 on x64', x64, 'arm64', {}, '', null],
  ['the same that names its processor', x64, 'arm64', { QEMU_CPU: 'cortex-a76' }, '', 'cortex-a76'],
  ['the same with features', x64, 'arm64', { QEMU_CPU: 'max,sve=off' }, '', 'max'],
  [
    'the same whose root has a processor list of a Pi 4',
    { ...x64, ...givenCpu('0xd08') },
    'arm64',
    {},
    '',
    'cortex-a72',
  ],
  [
    'the same with a processor list of a Pi 5',
    { ...x64, ...givenCpu('0xD0B') },
    'arm64',
    {},
    '',
    'cortex-a76',
  ],
  ['the same with one that nobody knows', { ...x64, ...givenCpu('0xfff') }, 'arm64', {}, '', null],
  [
    'the name in QEMU_CPU goes first',
    { ...x64, ...givenCpu('0xd08') },
    'arm64',
    { QEMU_CPU: 'cortex-a53' },
    '',
    'cortex-a53',
  ],
  ['a kernel before 6.1, whose processor list is the real one', oldKernel, 'arm64', {}, '', null],
  ['x64 on an arm64 kernel', { 'proc/sys/kernel/arch': 'aarch64' }, 'x64', {}, '', null],
  [
    'an emulator of the same architecture',
    { 'proc/sys/kernel/arch': 'aarch64' },
    'arm64',
    { QEMU_CPU: 'cortex-a72' },
    '',
    'cortex-a72',
  ],
  ['Rosetta in a virtual machine', { ...x64, ...apple }, 'x64', {}, '', null],
  ['Rosetta', {}, 'x64', {}, 'VirtualApple @ 2.50GHz', null],
];
for (const [name, files, arch, env, cpuModel, model] of emulations)
  t.test(`${name}: emulated, ${model}`, async (t) => {
    const root = await layMachine(t, files);
    t.same(await readEmulation({ root, arch, cpuModel, env }), { emulated: true, model });
  });

t.test('an empty QEMU_CPU says nothing; neither does a machine without /proc', async (t) => {
  const root = await layMachine(t, { 'proc/sys/kernel/arch': 'x86_64' });
  t.equal((await readEmulation({ root, arch: 'x64', cpuModel: '', env: { QEMU_CPU: '' } })).emulated, false);
  const bare = await layMachine(t);
  t.equal(
    (await readEmulation({ root: bare, arch: 'arm64', cpuModel: 'Apple M2', env: {} })).emulated,
    false,
  );
});

t.test(
  'facts of this machine fit the protocol; an emulated one says so in the name of its processor',
  async (t) => {
    const facts = parseAs(
      DeviceFacts,
      await readDeviceFacts('0.0.0', { version: 'none', provider: 'cpu' }),
      'facts',
    );
    const { emulated } = await readThisEmulation();
    t.equal(facts.emulated ?? false, emulated);
    t.equal(facts.cpuModel.startsWith('emulated '), emulated);
  },
);

t.test("only ARM's own designs have names here", async (t) => {
  t.equal(armCoreName('0x41', '0xd0b'), 'cortex-a76');
  t.equal(armCoreName('0x41', '0xD08'), 'cortex-a72');
  t.equal(armCoreName('0x51', '0xd0b'), null);
  t.equal(armCoreName('0x41', 'constructor'), null);
  t.equal(armCoreName(undefined, '0xd0b'), null);
  t.equal(armCoreName('0x41', undefined), null);
  t.match(raspberryPi5['proc/cpuinfo'], '0xd0b');
  t.match(androidBoard['proc/cpuinfo'], '0x51');
});
