import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';

/** Longest download or unpacking of one step. */
const STEP_MS = 120_000;

/**
 * The folder of programs that are fetched once and then kept, outside the checkout and readable by
 * all. It appears whole or not at all, also when several processes make it at the same time.
 * @param name says what is in it, with its version where that is fixed: another one is made anew
 * @param make puts everything into its second argument, with the first as a place to work in
 * @throws CHILD_FAILED with the words of the program that failed, FORBIDDEN when somebody else could have made it
 */
export function fetchedFolder(name: string, make: (work: string, made: string) => void): string {
  const owner = process.getuid?.() ?? 0;
  const cache = fetchedCache(name);
  mkdirSync(cache, { recursive: true, mode: 0o755 });
  // Programs of a folder that somebody else could have made are not run.
  if (statSync(cache).uid !== owner)
    throw new CodedError('FORBIDDEN', `${cache} belongs to another user, wanted user ${owner}`);
  const kept = join(cache, 'root');
  if (existsSync(kept)) return kept;
  const work = mkdtempSync(join(cache, 'unpacking-'));
  try {
    const made = join(work, 'root');
    mkdirSync(made);
    make(work, made);
    spawnSync('chmod', ['-R', 'a+rX', cache]);
    try {
      renameSync(made, kept);
    } catch (error) {
      // Another process that unpacked at the same time was first: its copy is as good.
      if (!existsSync(kept)) throw error;
    }
    return kept;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Where `fetchedFolder` keeps what `name` says, below `root` once it is whole. */
export function fetchedCache(name: string): string {
  return join(tmpdir(), `fleetlora-${name}-${process.getuid?.() ?? 0}`);
}

/**
 * Fetches packages of Debian (or a system made of it) into `folder`, without root and without
 * installing them. apt checks each against the signed index of its archive.
 * @returns paths of the .deb files
 * @throws CHILD_FAILED
 */
export function downloadPackages(names: Iterable<string>, folder: string): string[] {
  const download = ['download', '-q', ...names];
  try {
    runTool('apt-get', download, folder);
  } catch {
    // Container images come without package lists, and old lists name packages that are gone.
    const own = ownLists(folder);
    runTool('apt-get', [...own, 'update', '-q'], folder);
    runTool('apt-get', [...own, ...download], folder);
  }
  return readdirSync(folder)
    .filter((file) => file.endsWith('.deb'))
    .map((file) => join(folder, file));
}

/** Options by which apt keeps its lists in `folder`: the system's belong to root. */
function ownLists(folder: string): string[] {
  for (const part of ['lists/partial', 'archives/partial'])
    mkdirSync(join(folder, 'apt', part), { recursive: true });
  return [
    '-o',
    `Dir::State::lists=${join(folder, 'apt', 'lists')}`,
    '-o',
    `Dir::Cache=${join(folder, 'apt')}`,
  ];
}

/** Unpacks a .deb file, whole. @throws CHILD_FAILED */
export function unpackPackage(file: string, into: string): void {
  runTool('dpkg', ['-x', file, into], into);
}

/**
 * Runs a program to its end and returns its stdout.
 * @param mode `lenient`: its exit code does not matter
 * @throws CHILD_FAILED with the last of what it wrote to stderr
 */
export function runTool(
  command: string,
  args: readonly string[],
  cwd: string,
  mode: 'strict' | 'lenient' = 'strict',
): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    timeout: STEP_MS,
    maxBuffer: 64 * 2 ** 20,
  });
  if (error) throw new CodedError('CHILD_FAILED', `${command}: ${error.message}`, { cause: error });
  if (status !== 0 && mode === 'strict')
    throw new CodedError('CHILD_FAILED', `${command} ${args[0]}: ${stderr.trim().slice(-300)}`);
  return stdout;
}
