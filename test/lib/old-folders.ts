import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openGates } from '@fleetlora/bench/lib/open-gates';
import type { Test } from 'tap';
import { checkout } from './reference.js';
import { type TestCoordinator, temporaryFolder } from './running-coordinator.js';

/** Releases whose folders are kept; from 0.2.0 on with a second search that was cut off. */
export const oldReleases = ['0.1.0', '0.2.0'] as const;
export type OldRelease = (typeof oldReleases)[number];

/** The folders that the release left; test/data/README.md says how they were made. */
export async function unpackOldFolders(
  t: Test,
  release: OldRelease = '0.1.0',
): Promise<{ coordinator: string; agent: string; token: string }> {
  const folder = await temporaryFolder(t);
  const archive = join(checkout, 'test', 'data', `data-folder-${release}.tar.gz`);
  const { status, stderr } = spawnSync('tar', ['-xzf', archive, '-C', folder, '--no-same-owner']);
  t.equal(status, 0, stderr.toString());
  const coordinator = join(folder, 'coordinator');
  const token = (await readFile(join(coordinator, 'admin-token'), 'utf8')).trim();
  return { coordinator, agent: join(folder, 'agent'), token };
}

/** Today's agent on the old folder; the coordinator has new ports, as after a move. */
export async function startOldAgent(
  t: Test,
  folder: string,
  { url, mqttUrl }: Pick<TestCoordinator, 'url' | 'mqttUrl'>,
): Promise<ChildProcess> {
  const path = join(folder, 'device.json');
  const record = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...record, url, mqttUrl }));
  const main = join(checkout, 'agent', 'dist', 'cli', 'main.js');
  const child = spawn(
    process.execPath,
    [main, 'run', '--data', folder, '--serve-port', '0', '--log', 'error'],
    { stdio: ['ignore', 'ignore', 'inherit'], env: { ...openGates, ...process.env } },
  );
  const ended = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

/** Asks until `isDone`. */
export async function until<T>(ask: () => Promise<T>, isDone: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isDone(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
