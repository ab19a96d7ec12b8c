import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import { downloadPackages, fetchedFolder, runTool, unpackPackage } from './fetched-programs.js';

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
    return `no PostgreSQL server is installed, and apt cannot fetch one: ${messageOf(error)}`;
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

/** @throws CHILD_FAILED with the words of the program that failed */
function unpackPackages(): PostgresPrograms {
  const root = fetchedFolder('postgresql', (work, made) => {
    const dependsOf = (name: string, mode: 'strict' | 'lenient') =>
      runTool('apt-cache', ['depends', name], work, mode);
    const server = dependsOf('postgresql', 'strict').match(/\bpostgresql-\d+\b/)?.[0];
    if (server === undefined) throw new CodedError('NOT_FOUND', 'apt knows no package postgresql');
    const packages = new Set([server, server.replace('postgresql-', 'postgresql-client-'), 'libpq5']);
    for (const name of [server, 'libpq5', 'libldap-2.5-0'])
      for (const [, dependency = ''] of dependsOf(name, 'lenient').matchAll(/^ *Depends: (lib\S+)$/gm))
        if (!unneeded.test(dependency)) packages.add(dependency);
    for (const file of downloadPackages(packages, work)) unpackPackage(file, made);
  });
  const folder = newestBelow(join(root, debianFolder));
  if (folder === null) throw new CodedError('NOT_FOUND', `no server below ${root}`);
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
  if (status !== 0) throw new CodedError('CHILD_FAILED', `the fetched server does not run: ${stderr.trim()}`);
  return { folder, env };
}
