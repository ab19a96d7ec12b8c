import { readFile, writeFile } from 'node:fs/promises';

/** Memory of a process as the kernel counts it, in bytes. */
export interface ProcessMemory {
  /** VmHWM: largest resident set since the start of the process, or since the mark was reset. */
  readonly highWaterBytes: number;
  /** RssAnon: resident pages that no file backs. */
  readonly anonymousBytes: number;
}

/**
 * Reads /proc/PID/status; null where there is none, or when the process is gone.
 *
 * getrusage's maxRSS is no substitute: a child inherits it from its parent over fork and exec, so
 * it told 1 GB of a child that had used 40 MB.
 * @source Linux proc(5), /proc/PID/status
 */
export async function readProcessMemory(pid: number | 'self'): Promise<ProcessMemory | null> {
  try {
    return parseProcessMemory(await readFile(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return null;
  }
}

/** Parses the text of /proc/PID/status; null when a field is missing (a zombie has none). */
export function parseProcessMemory(status: string): ProcessMemory | null {
  const bytesOf = (field: string): number | null => {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status);
    return match ? Number(match[1]) * 1024 : null;
  };
  const highWaterBytes = bytesOf('VmHWM');
  const anonymousBytes = bytesOf('RssAnon');
  return highWaterBytes === null || anonymousBytes === null ? null : { highWaterBytes, anonymousBytes };
}

/**
 * Sets this process's VmHWM back to what is resident now.
 * @returns false where the system has no such switch or does not allow it
 * @source Linux proc(5), /proc/PID/clear_refs, value 5
 */
export async function resetHighWater(): Promise<boolean> {
  try {
    await writeFile('/proc/self/clear_refs', '5');
    return true;
  } catch {
    return false;
  }
}
