import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkout } from './reference.js';

/** What a figure depends on beside the code. */
export interface Surroundings {
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly os: string;
  };
  readonly versions: Readonly<Record<string, string | null>>;
  readonly date: string;
  /** Commit of the checkout, "-dirty" added when files differ from it; null outside git. */
  readonly commit: string | null;
}

export async function readSurroundings(now: Date): Promise<Surroundings> {
  const processors = cpus();
  return {
    machine: {
      cpu: processors[0]?.model.trim() ?? 'unknown',
      cores: processors.length,
      memoryBytes: totalmem(),
      os: `${platform()} ${release()} ${arch()}`,
    },
    versions: {
      node: process.versions.node,
      fleetlora: await versionIn(join(checkout, 'package.json')),
      'onnxruntime-node': await versionOf('onnxruntime-node'),
    },
    date: now.toISOString(),
    commit: await readCommit(),
  };
}

async function versionIn(path: string): Promise<string | null> {
  try {
    return (JSON.parse(await readFile(path, 'utf8')) as { version?: string }).version ?? null;
  } catch {
    return null;
  }
}

function versionOf(name: string): Promise<string | null> {
  const search = createRequire(join(checkout, 'shared', 'package.json')).resolve.paths(name) ?? [];
  return search.reduce<Promise<string | null>>(
    async (found, folder) => (await found) ?? versionIn(join(folder, name, 'package.json')),
    Promise.resolve(null),
  );
}

async function readCommit(): Promise<string | null> {
  const git = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('git', args, { cwd: checkout })).stdout.trim();
  try {
    const commit = await git('rev-parse', 'HEAD');
    return (await git('status', '--porcelain')) === '' ? commit : `${commit}-dirty`;
  } catch {
    return null;
  }
}
