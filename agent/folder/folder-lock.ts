import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { orDiskFull } from '@fleetlora/shared/node';

/** A held folder. */
export interface FolderLock {
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  /** Start time of that process in clock ticks since boot; "" where the system does not tell. */
  readonly started: string;
  readonly bootId: string;
}

const LOCK_NAME = /^holder\.(\d{1,9})$/;

/**
 * Takes a folder for this process alone.
 *
 * Holders are files `holder.N`, created whole by link(2), which fails when the name exists. The
 * folder belongs to the living holder with the highest number. A newcomer creates one number
 * above all it saw and then looks again: of two that raced past a dead holder the higher number
 * stays and the lower one gives up. Nothing has to be cleaned up after kill -9, because a dead
 * process (or a reused process id, told by its start time) holds nothing.
 *
 * @throws FOLDER_IN_USE naming the process that holds the folder, DISK_FULL
 */
export async function lockFolder(lockFolderPath: string): Promise<FolderLock> {
  const draft = join(lockFolderPath, `draft.${randomUUID()}`);
  const mine: Holder = {
    pid: process.pid,
    started: await startTimeOf(process.pid),
    bootId: await readBootId(),
  };
  try {
    await orDiskFull({ path: draft, what: 'the lock' }, () =>
      writeFile(draft, JSON.stringify(mine), { mode: 0o600 }),
    );
    for (;;) {
      const before = await holdersIn(lockFolderPath, mine.bootId);
      const living = before.find(({ alive }) => alive);
      if (living) throw inUse(lockFolderPath, living.holder);
      const number = Math.max(0, ...before.map((entry) => entry.number)) + 1;
      const path = join(lockFolderPath, `holder.${number}`);
      try {
        await link(draft, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
        throw error;
      }
      const after = await holdersIn(lockFolderPath, mine.bootId);
      const above = after.find((entry) => entry.alive && entry.number > number);
      if (above) {
        await rm(path, { force: true });
        throw inUse(lockFolderPath, above.holder);
      }
      for (const dead of after.filter((entry) => entry.number < number && !entry.alive))
        await rm(join(lockFolderPath, `holder.${dead.number}`), { force: true });
      return { release: () => rm(path, { force: true }) };
    }
  } finally {
    await rm(draft, { force: true });
  }
}

/** Process id of the living holder, or null. */
export async function folderHolder(lockFolderPath: string): Promise<number | null> {
  const holders = await holdersIn(lockFolderPath, await readBootId());
  return holders.find(({ alive }) => alive)?.holder.pid ?? null;
}

function inUse(path: string, holder: Holder): CodedError {
  return new CodedError(
    'FOLDER_IN_USE',
    `${join(path, '..')} is used by the agent with process id ${holder.pid}; stop it or choose another folder`,
  );
}

async function holdersIn(
  path: string,
  bootId: string,
): Promise<{ number: number; holder: Holder; alive: boolean }[]> {
  const found: { number: number; holder: Holder; alive: boolean }[] = [];
  const names = await readdir(path).catch(() => []);
  for (const name of names) {
    const number = LOCK_NAME.exec(name)?.[1];
    if (number === undefined) continue;
    const holder = await readHolder(join(path, name));
    if (holder) found.push({ number: Number(number), holder, alive: await isAlive(holder, bootId) });
  }
  return found.sort((a, b) => b.number - a.number);
}

async function readHolder(path: string): Promise<Holder | null> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<Holder> | null;
    return { pid: Number(value?.pid ?? 0), started: String(value?.started), bootId: String(value?.bootId) };
  } catch {
    return null;
  }
}

async function isAlive(holder: Holder, bootId: string): Promise<boolean> {
  if (!Number.isInteger(holder.pid) || holder.pid <= 0 || holder.bootId !== bootId) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return holder.started === (await startTimeOf(holder.pid));
}

/** Field 22 of /proc/PID/stat, counted after the parenthesised name, which may hold spaces. */
async function startTimeOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** The kernel's id of this boot, "" where there is none. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    return '';
  }
}
