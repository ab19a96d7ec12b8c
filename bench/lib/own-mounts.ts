import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';

/** Set in a process that runs in a mount namespace of its own. */
const MARK = 'FLEETLORA_OWN_MOUNTS';
/** `unshare` options by which a process may mount: as root, or as root of a user namespace only. */
const waysIn: readonly (readonly string[])[] = [['-m'], ['-Urm']];
/** How often a process looks whether the one that waits for it is still there. */
const PARENT_CHECK_MS = 1000;

/**
 * Puts this process where it may mount file systems that nobody else sees and that are gone when
 * it ends, however it ends: the program is started once more in a mount namespace of its own and
 * this process ends with it. Call it before anything is printed.
 * @param beforeEntering tidies up what this process has begun
 * @returns null inside; a sentence that says why when the system does not allow it
 */
export function enterOwnMounts(beforeEntering: () => void = () => {}): string | null {
  if (process.env[MARK] !== undefined) {
    endWithParent();
    return null;
  }
  const way = waysIn.find(mayMountBy);
  if (way === undefined)
    return `mounting needs Linux, and root or user namespaces (unshare ${waysIn.at(-1)?.join(' ')})`;
  beforeEntering();
  // An IPC channel of this process is not handed on.
  const { NODE_CHANNEL_FD, NODE_CHANNEL_SERIALIZATION_MODE, ...inherited } = process.env;
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync('unshare', [...way, '--', ...command], {
    stdio: 'inherit',
    env: { ...inherited, [MARK]: '1' },
  });
  process.exit(status ?? 1);
}

function mayMountBy(way: readonly string[]): boolean {
  const mount = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', tmpdir()];
  return spawnSync('unshare', [...way, '--', ...mount], { stdio: 'ignore' }).status === 0;
}

/** `unshare` becomes this program, so its parent is the process that waits for it. */
function endWithParent(): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, PARENT_CHECK_MS);
  timer.unref();
}
