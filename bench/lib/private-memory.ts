import { readFile } from 'node:fs/promises';

/** What a process's memory costs the machine, in bytes. */
export interface PrivateMemory {
  /** Private_Clean + Private_Dirty: pages that are mapped once, and nowhere else. */
  readonly privateBytes: number;
  /** Anonymous: pages that no file backs, so that they cannot be dropped and read again. */
  readonly anonymousBytes: number;
  /**
   * Pss: every page once, or its share where other processes have it too. A page of a file that
   * several sessions of one process map counts as shared, so that `privateBytes` leaves it out: this
   * has it.
   */
  readonly residentBytes: number;
}

/**
 * Memory of this process now.
 * @throws when the system has no such account of it
 * @source Linux proc(5), /proc/PID/smaps_rollup and /proc/PID/smaps
 */
export async function readPrivateMemory(): Promise<PrivateMemory> {
  const text = await readFile('/proc/self/smaps_rollup', 'utf8');
  const bytesOf = (field: string): number => {
    const [, kibibytes] = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text) ?? [];
    if (kibibytes === undefined) throw new Error(`/proc/self/smaps_rollup has no ${field}`);
    return Number(kibibytes) * 1024;
  };
  return {
    privateBytes: bytesOf('Private_Clean') + bytesOf('Private_Dirty'),
    anonymousBytes: bytesOf('Anonymous'),
    residentBytes: bytesOf('Pss'),
  };
}
