import { cpus } from 'node:os';
import { join } from 'node:path';
import { armCoreName } from './arm-cores.js';
import { readText } from './read-text.js';

export interface Emulation {
  /** The processor that this process sees is not the machine's. */
  readonly emulated: boolean;
  /** The emulated model, such as "cortex-a72", where it is known. */
  readonly model: string | null;
}

export interface EmulationQuestion {
  /** Root of the file system, another one for recorded machines. */
  readonly root?: string;
  /** As node says it, `process.arch`. */
  readonly arch: string;
  /** Model names of the processors, as the operating system tells them. */
  readonly cpuModel: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What kernels of these architectures call themselves; a 32-bit program runs on a 64-bit one as it is. */
const KERNEL_NAMES: Readonly<Record<string, readonly string[]>> = {
  arm: ['arm', 'armv6l', 'armv7l', 'armv8l', 'aarch64', 'arm64'],
  arm64: ['aarch64', 'arm64'],
  ia32: ['i386', 'i486', 'i586', 'i686', 'x86_64'],
  x64: ['x86_64'],
  loong64: ['loongarch64'],
  ppc64: ['ppc64', 'ppc64le'],
  riscv64: ['riscv64'],
  s390x: ['s390x'],
};

/**
 * Whether this program runs on an emulated processor. The kernel's own name for its architecture
 * is asked first: an emulator of user programs cannot fake that file, as it does `uname`. Kernels
 * before 6.1 have none; there, the processor list of another architecture tells. Settings of
 * QEMU's and the vendor name of Rosetta count as well.
 * @source Documentation/admin-guide/sysctl/kernel.rst: arch; QEMU user-mode: QEMU_CPU, -L
 */
export async function readEmulation(question: EmulationQuestion): Promise<Emulation> {
  const { root = '/', arch, env } = question;
  const kernel = await readText(join(root, 'proc/sys/kernel/arch'));
  const cpuinfo = (await readText(join(root, 'proc/cpuinfo'))) ?? '';
  const known = KERNEL_NAMES[arch];
  const emulated =
    (kernel !== null && known !== undefined && !known.includes(kernel)) ||
    (arch !== 'x64' &&
      arch !== 'ia32' &&
      /^vendor_id\s*:\s*(GenuineIntel|AuthenticAMD|HygonGenuine)/m.test(cpuinfo)) ||
    Boolean(env.QEMU_CPU) ||
    [question.cpuModel, cpuinfo].some((text) => text.includes('VirtualApple'));
  return { emulated, model: emulated ? modelOf(env, cpuinfo) : null };
}

function modelOf(env: EmulationQuestion['env'], cpuinfo: string): string | null {
  // QEMU_CPU may carry features behind the name: "max,sve=off".
  return env.QEMU_CPU?.split(',')[0]?.trim() || armCoreOf(cpuinfo);
}

/** The name of the first core where /proc/cpuinfo tells an ARM one; null where it does not. */
export async function readArmCore(root = '/'): Promise<string | null> {
  return armCoreOf((await readText(join(root, 'proc/cpuinfo'))) ?? '');
}

function armCoreOf(cpuinfo: string): string | null {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}\\s*:\\s*(0x[0-9a-f]+)\\s*$`, 'im').exec(cpuinfo)?.[1];
  return armCoreName(field('CPU implementer'), field('CPU part'));
}

/** The same of this process. */
export function readThisEmulation(): Promise<Emulation> {
  return readEmulation({ arch: process.arch, cpuModel: cpus()[0]?.model ?? '', env: process.env });
}
