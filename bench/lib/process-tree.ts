import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the kernel says of a process; Linux only. */
export interface ProcessState {
  /** Seconds of processor time so far, user and system, in ticks of 10 ms. */
  readonly cpuSeconds: number;
  /** "R" running, "S" sleeping, "Z" dead but not yet waited for, and others. */
  readonly state: string;
}

/** USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;

/** Null when there is no such process. @source Linux proc(5), /proc/PID/stat fields 3, 14 and 15 */
export async function readProcess(pid: number): Promise<ProcessState | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (text === null) return null;
  // The name, field 2, may hold anything but ends at the last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0] ?? '',
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND,
  };
}

/** True while the process can still do something. */
export async function isAlive(pid: number): Promise<boolean> {
  const found = await readProcess(pid);
  return found !== null && found.state !== 'Z' && found.state !== 'X';
}

/** Living children of a process whose command line holds one of `words`. */
export async function findChildren(parent: number, words: readonly string[]): Promise<number[]> {
  const text = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '');
  const found: number[] = [];
  for (const name of text.split(' ').filter(Boolean)) {
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (words.some((word) => line.includes(word)) && (await isAlive(Number(name)))) found.push(Number(name));
  }
  return found;
}

/** Sends SIGKILL and waits until nothing of the process runs any more. */
export async function killAndWait(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  while (await isAlive(pid)) await sleep(2);
}
