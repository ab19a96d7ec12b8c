import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { checkout } from '../lib/reference.js';

interface Door {
  nodeVersionProblem(version: string): string | null;
  readonly oldestNode: string;
}
interface InstallState {
  reasonToInstall(root: string): string | null;
}
const load = async <T>(name: string): Promise<T> =>
  (await import(pathToFileURL(join(checkout, 'deploy', name)).href)) as T;

t.test('Node.js 20.19.0 is the oldest that is taken', async (t) => {
  const { nodeVersionProblem, oldestNode } = await load<Door>('node-version.mjs');
  for (const version of ['20.19.0', '20.19.1', '20.20.0', '21.0.0', '22.1.0', '100.0.0'])
    t.equal(nodeVersionProblem(version), null, version);
  for (const version of ['20.18.9', '19.99.99', '18.20.4', '9.0.0'])
    t.match(nodeVersionProblem(version), version);
  const { engines } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  t.equal(`${engines.node}.0`, `>=${oldestNode}`, 'package.json says the same');
});

t.test('npm ci runs when node_modules does not hold the lockfile, and only then', async (t) => {
  const { reasonToInstall } = await load<InstallState>('install-state.mjs');
  const root = t.testdir({ node_modules: {} });
  const locked = {
    '': { version: '1.0.0' },
    shared: { version: '1.0.0' },
    'node_modules/a': { version: '1.0.0' },
    'node_modules/b': { version: '2.0.0', optional: true },
    'node_modules/shared': { link: true },
  };
  const write = async (lock: object, installed: object | null): Promise<void> => {
    await writeFile(join(root, 'package-lock.json'), JSON.stringify({ packages: lock }));
    await mkdir(join(root, 'node_modules'), { recursive: true });
    await writeFile(
      join(root, 'node_modules', '.package-lock.json'),
      installed ? JSON.stringify({ packages: installed }) : '',
    );
  };
  const a = { version: '1.0.0' };
  const link = { link: true };
  t.match(reasonToInstall(root), /package-lock\.json is missing/);
  await write(locked, null);
  t.match(reasonToInstall(root), /node_modules is missing/, 'an interrupted install');
  await write(locked, { 'node_modules/a': a, 'node_modules/shared': link });
  t.equal(reasonToInstall(root), null, 'an optional package of another platform may be absent');
  await write(locked, { 'node_modules/shared': link });
  t.equal(reasonToInstall(root), 'node_modules/a is not installed');
  await write(locked, { 'node_modules/a': { version: '1.0.1' }, 'node_modules/shared': link });
  t.equal(reasonToInstall(root), 'node_modules/a is 1.0.1, the lockfile has 1.0.0');
});
