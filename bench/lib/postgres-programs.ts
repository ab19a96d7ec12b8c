import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Where a PostgreSQL server's programs lie, and what they need to run. */
export interface PostgresPrograms {
  /** Holds postgres, initdb and psql. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
}

const debianFolder = '/usr/lib/postgresql';
/** Not loaded unless a query is compiled to machine code, and larger than all the rest. */
const unneeded = /^libllvm/;

/**
 * The programs of an installed server; else those of Debian's packages, fetched with apt and
 * unpacked into a cached folder, which needs no root and installs nothing. A sentence that says
 * why when there is no way.
 */
export function findPostgresPrograms(): PostgresPrograms | string {
  const installed = newestBelow(debianFolder) ?? onPath('initdb');
  if (installed !== null) return { folder: installed, env: {} };
  try {
    return unpackPackages();
  } catch (error) {
    return `no PostgreSQL server is installed, and apt cannot fetch one: ${error instanceof Error ? error.message : error}`;
  }
}

function newestBelow(folder: string): string | null {
  if (!existsSync(folder)) return null;
  const versions = readdirSync(folder).filter((name) => /^\d+$/.test(name));
  versions.sort((a, b) => Number(b) - Number(a));
  return versions.map((name) => join(folder, name, 'bin')).find((bin) => holdsServer(bin)) ?? null;
}

const holdsServer = (bin: string): boolean =>
  ['postgres', 'initdb', 'psql'].every((name) => existsSync(join(bin, name)));

function onPath(program: string): string | null {
  const folders = (process.env.PATH ?? '').split(':').filter((folder) => existsSync(join(folder, program)));
  return folders.find(holdsServer) ?? null;
}

/** @throws Error with the words of the program that failed */
function unpackPackages(): PostgresPrograms {
  const cache = join(tmpdir(), `fleetlora-postgresql-${process.getuid?.() ?? 0}`);
  // Programs of a folder that somebody else could have made are not run.
  mkdirSync(cache, { recursive: true, mode: 0o755 });
  if (statSync(cache).uid !== (process.getuid?.() ?? 0)) throw new Error(`${cache} belongs to another user`);
  const root = join(cache, 'root');
  if (!existsSync(root)) {
    const work = mkdtempSync(join(cache, 'unpacking-'));
    try {
      const server = runText('apt-cache', ['depends', 'postgresql'], work).match(/\bpostgresql-\d+\b/)?.[0];
      if (server === undefined) throw new Error('apt knows no package postgresql');
      const packages = new Set([server, server.replace('postgresql-', 'postgresql-client-'), 'libpq5']);
      for (const name of [server, 'libpq5', 'libldap-2.5-0'])
        for (const [, dependency = ''] of runText('apt-cache', ['depends', name], work, 'lenient').matchAll(
          /^ *Depends: (lib\S+)$/gm,
        ))
          if (!unneeded.test(dependency)) packages.add(dependency);
      runText('apt-get', ['download', '-q', ...packages], work);
      const made = join(work, 'root');
      mkdirSync(made);
      for (const name of readdirSync(work).filter((file) => file.endsWith('.deb')))
        runText('dpkg', ['-x', join(work, name), made], work);
      spawnSync('chmod', ['-R', 'a+rX', cache]);
      try {
        renameSync(made, root);
      } catch (error) {
        // Another process that unpacked at the same time was first: its copy is as good.
        if (!existsSync(root)) throw error;
      }
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  const folder = newestBelow(join(root, debianFolder));
  if (folder === null) throw new Error(`no server below ${root}`);
  const libraries = ['usr/lib', 'lib'].flatMap((name) =>
    existsSync(join(root, name))
      ? readdirSync(join(root, name))
          .filter((entry) => entry.includes('-linux-'))
          .map((entry) => join(root, name, entry))
      : [],
  );
  const env = { LD_LIBRARY_PATH: [...libraries, dirname(folder)].join(':') };
  const { status, stderr } = spawnSync(join(folder, 'postgres'), ['--version'], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the fetched server does not run: ${stderr.trim()}`);
  return { folder, env };
}

function runText(
  command: string,
  args: readonly string[],
  cwd: string,
  mode: 'strict' | 'lenient' = 'strict',
): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    timeout: 120_000,
  });
  if (error) throw error;
  if (status !== 0 && mode === 'strict')
    throw new Error(`${command} ${args[0]}: ${stderr.trim().slice(-300)}`);
  return stdout;
}
