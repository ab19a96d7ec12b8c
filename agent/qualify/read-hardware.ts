import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { DeviceFacts, Hardware } from '@fleetlora/shared/protocol';
import { armCoreName, listNames, readText, readWhole } from '../host/index.js';

export interface HardwareQuestion {
  readonly facts: Pick<DeviceFacts, 'cpuModel' | 'arch' | 'emulated'>;
  /** Root of the file system, another one for recorded machines. */
  readonly root?: string;
  readonly cores?: number;
  readonly memoryBytes?: number;
}

const MAX_TEXT = 256;
const MAX_KINDS = 16;

/** What matrix products are written with, as /proc/cpuinfo names it: x86, then ARM. */
const INSTRUCTION_SETS = [
  ...['sse4_2', 'avx', 'f16c', 'fma', 'avx2', 'avx_vnni', 'avx512f', 'avx512bw', 'avx512vl', 'avx512_vnni'],
  ...['avx512_bf16', 'avx512_fp16', 'amx_tile', 'amx_int8', 'amx_bf16'],
  ...['neon', 'asimd', 'asimdhp', 'asimddp', 'asimdfhm', 'i8mm', 'bf16', 'sve', 'sve2', 'sme', 'sme2'],
];

/** What some makers leave in the place of a name. */
const NO_NAME =
  /^(to be filled|default string|system (product|manufacturer)|not (applicable|specified)|none|o\.e\.m)/i;

/**
 * What this machine is, from files that hold the same on every machine of its kind: no serial
 * number, no name, no address is read. Of an emulated processor only its name is told, since the
 * files are those of the machine around it.
 */
export async function readHardware(question: HardwareQuestion): Promise<Hardware> {
  const { facts, root = '/' } = question;
  const emulated = facts.emulated ?? false;
  const processors = emulated ? [] : parseProcessors((await readText(join(root, 'proc/cpuinfo'))) ?? '');
  const told = new Set(wordsOf(processors[0]?.flags ?? processors[0]?.Features));
  return {
    board: emulated ? null : await readBoard(root),
    cpuModel: facts.cpuModel,
    arch: facts.arch,
    cores: question.cores ?? availableParallelism(),
    coreKinds: await readCoreKinds(root, processors),
    caches: emulated ? [] : await readCaches(root),
    instructions: INSTRUCTION_SETS.filter((name) => told.has(name)),
    memoryBytes: question.memoryBytes ?? totalmem(),
    emulated,
    virtualMachine: processors[0]?.flags === undefined ? null : told.has('hypervisor'),
  };
}

/** Entries of /proc/cpuinfo, each field by its name; text that follows them (Serial, Model) belongs to none. */
export function parseProcessors(cpuinfo: string): Record<string, string>[] {
  return cpuinfo
    .split(/\n\s*\n/)
    .map((block) =>
      Object.fromEntries(
        block.split('\n').flatMap((line) => {
          const colon = line.indexOf(':');
          return colon < 0 ? [] : [[line.slice(0, colon).trim(), line.slice(colon + 1).trim()]];
        }),
      ),
    )
    .filter((entry) => entry.processor !== undefined);
}

async function readCoreKinds(
  root: string,
  processors: readonly Record<string, string>[],
): Promise<Hardware['coreKinds']> {
  const kinds = new Map<string, { count: number; model: string; maxMHz: number | null }>();
  for (const processor of processors) {
    const model = modelOf(processor);
    if (model === null) continue;
    const path = `sys/devices/system/cpu/cpu${processor.processor}/cpufreq/cpuinfo_max_freq`;
    const kHz = await readWhole(join(root, path));
    const maxMHz = kHz !== null && kHz >= 1000 ? Math.round(kHz / 1000) : null;
    const key = `${model} ${maxMHz}`;
    kinds.set(key, { count: (kinds.get(key)?.count ?? 0) + 1, model, maxMHz });
  }
  return [...kinds.values()].sort((a, b) => (b.maxMHz ?? 0) - (a.maxMHz ?? 0)).slice(0, MAX_KINDS);
}

/** The name of a core, else the numbers of its design; null when it has neither. */
function modelOf(processor: Record<string, string>): string | null {
  const { 'model name': name, 'CPU implementer': implementer, 'CPU part': part } = processor;
  if (part === undefined) return name?.slice(0, MAX_TEXT) ?? null;
  return armCoreName(implementer, part) ?? `implementer ${implementer}, part ${part}`.slice(0, MAX_TEXT);
}

/**
 * @source Documentation/ABI/testing/sysfs-devices-system-cpu, cache/index*: level, type, size in
 *   KiB, shared_cpu_list
 */
async function readCaches(root: string): Promise<Hardware['caches']> {
  const folder = join(root, 'sys/devices/system/cpu/cpu0/cache');
  const caches: Hardware['caches'] = [];
  for (const index of await listNames(folder, /^index\d+$/)) {
    const read = (file: string): Promise<string | null> => readText(join(folder, index, file));
    const level = Number(await read('level'));
    const told = ((await read('type')) ?? '').toLowerCase();
    const type = (['data', 'instruction', 'unified'] as const).find((known) => known === told);
    const size = /^(\d{1,9})K$/.exec((await read('size')) ?? '')?.[1];
    if (!type || size === undefined || !Number.isInteger(level) || level < 1 || level > 4) continue;
    const cores = Math.max(1, countList((await read('shared_cpu_list')) ?? ''));
    caches.push({ level, type, bytes: Number(size) * 1024, cores });
  }
  return caches.slice(0, MAX_KINDS);
}

/** Members of a kernel's list such as "0-3,8". */
export function countList(list: string): number {
  return list.split(',').reduce((count, range) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range.trim());
    return match ? count + Number(match[2] ?? match[1]) - Number(match[1]) + 1 : count;
  }, 0);
}

/** A board's device tree, else a PC's firmware: maker and product, without what tells one from the next. */
async function readBoard(root: string): Promise<string | null> {
  const model = await readText(join(root, 'proc/device-tree/model'));
  // Strings of a device tree end with a zero byte.
  if (model) return model.replaceAll('\0', '').trim().slice(0, MAX_TEXT) || null;
  const named: string[] = [];
  for (const file of ['sys_vendor', 'product_name', 'product_version']) {
    const text = await readText(join(root, 'sys/class/dmi/id', file));
    if (text && !NO_NAME.test(text)) named.push(text);
  }
  return named.join(' ').slice(0, MAX_TEXT) || null;
}

function wordsOf(text: string | undefined): string[] {
  return text?.split(/\s+/) ?? [];
}
