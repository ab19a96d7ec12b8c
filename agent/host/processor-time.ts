import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Processor time so far, in ticks of the kernel. */
export interface ProcessorTime {
  readonly cores: number;
  /** Of all cores together: everything, idleness included. */
  readonly totalTicks: number;
  /** All but idleness; what a hypervisor took away counts, since it is lost just the same. */
  readonly busyTicks: number;
  /** Of the own processes and all that they ever started. */
  readonly ownTicks: number;
}

/** Ticks of a core (10 ms each) below which a tenth of it would be a matter of rounding. */
const MIN_TICKS = 25;

/**
 * Reads /proc/stat, and the times of the process trees below `self`, this process, and below `others`. The counters are the whole
 * host's, also in a container. Read at once and not file by file: a pass over all processes takes
 * milliseconds this way, and happens at both ends of a window alone.
 * @returns null where the system does not tell, or not of this process
 * @source proc_stat(5), proc_pid_stat(5)
 */
export function readProcessorTime(
  root: string,
  self: number,
  others: readonly number[] = [],
): ProcessorTime | null {
  const stat = readNow(join(root, 'proc/stat'));
  if (stat === null) return null;
  const line = /^cpu +(.*)$/m.exec(stat)?.[1];
  const cores = stat.match(/^cpu\d+ /gm)?.length ?? 0;
  if (line === undefined || cores === 0) return null;
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .map(Number);
  const busyTicks = user + nice + system + irq + softirq + steal;
  const ownTicks = treeTicks(root, self, others);
  return ownTicks === null ? null : { cores, busyTicks, totalTicks: busyTicks + idle + iowait, ownTicks };
}

/**
 * Cores that processes other than the own kept busy between two readings; null when too little
 * time lies between them, or the counters do not move.
 */
export function otherCoresBetween(from: ProcessorTime | null, to: ProcessorTime | null): number | null {
  if (from === null || to === null || from.cores !== to.cores) return null;
  const total = to.totalTicks - from.totalTicks;
  if (!(total >= MIN_TICKS * to.cores)) return null;
  // The two counters are not read in the same instant, nor rounded alike.
  const others = Math.max(0, to.busyTicks - from.busyTicks - (to.ownTicks - from.ownTicks));
  return Math.min(to.cores, (others / total) * to.cores);
}

/**
 * Ticks of the trees: each living process with those of its children that it has waited for. So a
 * child that ends between two readings is counted in both.
 * @returns null when `self`, which runs this, is not there or has never run: what is listed are
 *   another namespace's processes, or an emulator's inventions, and own cannot be told from others'
 */
function treeTicks(root: string, self: number, others: readonly number[]): number | null {
  const children = new Map<number, number[]>();
  const ticks = new Map<number, number>();
  for (const pid of listNumbers(join(root, 'proc'))) {
    const stat = readStat(join(root, 'proc', `${pid}`, 'stat'));
    if (stat === null) continue;
    children.set(stat.parent, [...(children.get(stat.parent) ?? []), pid]);
    ticks.set(pid, stat.ownTicks + stat.childTicks);
  }
  if (!ticks.get(self)) return null;
  const seen = new Set<number>();
  const waiting = [self, ...others];
  let sum = 0;
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    if (seen.has(pid)) continue;
    seen.add(pid);
    sum += ticks.get(pid) ?? 0;
    waiting.push(...(children.get(pid) ?? []));
  }
  return sum;
}

interface ProcessStat {
  readonly parent: number;
  readonly ownTicks: number;
  /** Of children that ended and were waited for. */
  readonly childTicks: number;
}

function readStat(path: string): ProcessStat | null {
  const text = readNow(path);
  if (text === null) return null;
  // The name in parentheses may hold spaces and parentheses; ppid is field 4 of proc_pid_stat(5), counted from 1.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3] ?? 0);
  return {
    parent: field(4),
    ownTicks: field(14) + field(15),
    childTicks: field(16) + field(17),
  };
}

function readNow(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

/** Entries of a folder that are numbers. */
function listNumbers(folder: string): number[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}
