import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Processes that the kernel's out-of-memory killer has killed so far; null where it does not tell. */
export interface OomKills {
  /** In this process's control group. */
  readonly group: number | null;
  /** On the whole machine. */
  readonly system: number | null;
}

/** Who sent a SIGKILL: the kernel for lack of memory, somebody else, or nobody can tell. */
export type Killer = 'memory' | 'other' | 'unknown';

/**
 * Reads both counters. The kernel counts a kill before it sends the signal, so a child that it
 * killed is in a count that is read after the child's end.
 * @source Linux admin-guide/cgroup-v2 (memory.events), cgroup-v1/memory (memory.oom_control);
 *   /proc/vmstat oom_kill, since Linux 4.13
 */
export async function readOomKills(): Promise<OomKills> {
  const [group, system] = await Promise.all([readGroupKills(), readCount('/proc/vmstat')]);
  return { group, system };
}

/** Who killed a child with SIGKILL between two looks at the counters. */
export function judgeKiller(before: OomKills, after: OomKills): Killer {
  const counters = [
    [before.group, after.group],
    [before.system, after.system],
  ].flatMap(([first, last]) => (first == null || last == null ? [] : [last - first]));
  if (counters.length === 0) return 'unknown';
  return counters.some((risen) => risen > 0) ? 'memory' : 'other';
}

/** The value of a line "oom_kill N"; null when there is none. */
export function parseOomKills(text: string): number | null {
  const match = /^oom_kill (\d+)$/m.exec(text);
  return match ? Number(match[1]) : null;
}

/**
 * Files that may hold a group's counter, from the text of /proc/self/cgroup, the most exact first.
 * Inside a container the path may be one of the host, and the mount's root is the own group.
 */
export function groupCounterFiles(cgroups: string): string[] {
  const root = '/sys/fs/cgroup';
  return cgroups.split('\n').flatMap((line) => {
    const [, controllers, ...rest] = line.split(':');
    const path = rest.join(':');
    if (controllers === '') return [join(root, path, 'memory.events'), join(root, 'memory.events')];
    if (!controllers?.split(',').includes('memory')) return [];
    return [join(root, 'memory', path, 'memory.oom_control'), join(root, 'memory', 'memory.oom_control')];
  });
}

async function readGroupKills(): Promise<number | null> {
  const cgroups = await readFile('/proc/self/cgroup', 'utf8').catch(() => '');
  for (const file of groupCounterFiles(cgroups)) {
    const kills = await readCount(file);
    if (kills !== null) return kills;
  }
  return null;
}

async function readCount(file: string): Promise<number | null> {
  return readFile(file, 'utf8').then(parseOomKills, () => null);
}
