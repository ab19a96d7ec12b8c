import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { folderHolder, lockFolder, openDataFolder } from '@fleetlora/agent/folder';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tempFolder } from '../lib/temp-folder.js';

const lockIn = async (folder: string): Promise<string> => {
  const path = join(folder, 'lock');
  await mkdir(path, { recursive: true });
  return path;
};

t.test('a folder has one holder, and the error names its process', async (t) => {
  const path = await lockIn(await tempFolder(t));
  const held = await lockFolder(path);
  t.equal(await folderHolder(path), process.pid);
  await t.rejects(lockFolder(path), coded('FOLDER_IN_USE', process.pid));
  await held.release();
  t.equal(await folderHolder(path), null);
  await (await lockFolder(path)).release();
});

t.test('of twenty that ask at once one gets it', async (t) => {
  const path = await lockIn(await tempFolder(t));
  const asked = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(path)));
  t.equal(asked.filter(({ status }) => status === 'fulfilled').length, 1);
});

t.test('a holder that was killed holds nothing', async (t) => {
  const path = await lockIn(await tempFolder(t));
  const child = fork(new URL('../lib/children/hold-lock.js', import.meta.url), [path], { execArgv: [] });
  const [said] = await once(child, 'message');
  t.equal(said, 'held');
  await t.rejects(lockFolder(path), coded('FOLDER_IN_USE', child.pid ?? 0));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const mine = await lockFolder(path);
  t.equal(await folderHolder(path), process.pid);
  t.same(await readdir(path), ['holder.2'], 'the dead holder is swept');
  await mine.release();
});

const noStartTimes = process.platform !== 'linux' && 'this system tells no start times';
t.test('a process id that was given to another process holds nothing', { skip: noStartTimes }, async (t) => {
  const path = await lockIn(await tempFolder(t));
  const mine = await lockFolder(path);
  const [name = ''] = await readdir(path);
  const holder = JSON.parse(await readFile(join(path, name), 'utf8')) as object;
  await mine.release();
  await writeFile(join(path, 'holder.7'), JSON.stringify({ ...holder, started: '1' }));
  t.equal(await folderHolder(path), null);
  await writeFile(join(path, 'holder.7'), JSON.stringify({ ...holder, bootId: 'of another boot' }));
  t.equal(await folderHolder(path), null);
  await writeFile(join(path, 'holder.7'), JSON.stringify(holder));
  t.equal(await folderHolder(path), process.pid);
});

t.test('the data folder is for its owner alone', async (t) => {
  const root = join(await tempFolder(t), 'agent');
  await mkdir(root, { mode: 0o755 });
  await openDataFolder(root);
  t.equal((await stat(root)).mode & 0o777, 0o700);
});
