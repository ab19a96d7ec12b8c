import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nextSessionNumber } from '@fleetlora/agent/link';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import { mountSmallDisk } from '@fleetlora/bench/lib/small-disk';
import { KiB } from '@fleetlora/shared/units';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tempFolder } from '../lib/temp-folder.js';

const noMounts = enterOwnMounts() ?? false;
const numbers = async (path: string, count: number): Promise<number[]> => {
  const given: number[] = [];
  for (let index = 0; index < count; index++) given.push(await nextSessionNumber(path));
  return given;
};

t.test('numbers rise by one, over files of both lengths', async (t) => {
  const path = join(await tempFolder(t), 'session.json');
  t.same(await numbers(path, 4), [1, 2, 3, 4]);
  t.same([(await stat(path)).size, (await stat(`${path}.other`)).size], [64, 64]);
  // As an agent from before wrote it: one file alone.
  const old = join(await tempFolder(t), 'session.json');
  await writeFile(old, '{\n  "number": 41\n}\n');
  t.same(await numbers(old, 3), [42, 43, 44]);
});

t.test('one spoilt file costs nothing, two are an error', async (t) => {
  for (const spoilt of ['session.json', 'session.json.other']) {
    const folder = await tempFolder(t);
    const path = join(folder, 'session.json');
    const last = (await numbers(path, 2)).at(-1) as number;
    await writeFile(join(folder, spoilt), '{"num');
    const next = await nextSessionNumber(path);
    t.ok(next >= last, `${spoilt}: ${next} after ${last}`);
    t.equal(await nextSessionNumber(path), next + 1);
    for (const name of await readdir(folder)) await writeFile(join(folder, name), 'x');
    await t.rejects(nextSessionNumber(path), coded('STATE_CONFLICT', path));
  }
});

t.test('on a full disk numbers still rise once the files are there', { skip: noMounts }, async (t) => {
  const disk = await mountSmallDisk(join(await tempFolder(t), 'disk'), 64 * KiB);
  t.teardown(() => disk.unmount());
  const path = join(disk.folder, 'session.json');
  await disk.fill();
  await t.rejects(nextSessionNumber(path), coded('DISK_FULL', path));
  await disk.empty();
  t.equal(await nextSessionNumber(path), 1);
  await disk.fill();
  t.same(await numbers(path, 3), [2, 3, 4]);
});
