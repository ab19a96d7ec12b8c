import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { openFileSource } from '@fleetlora/shared/node';
import t from 'tap';
import { coded } from '../lib/coded.js';

t.test('reads any range of a file of 10 bytes, up to its last byte and not beyond', async (t) => {
  const path = join(t.testdir({ file: '0123456789' }), 'file');
  const source = await openFileSource(path);
  t.equal(source.size, 10);
  const read = async (offset: number, length: number): Promise<string> =>
    new TextDecoder().decode(await source.read(offset, length));
  t.equal(await read(0, 10), '0123456789');
  t.equal(await read(9, 1), '9');
  t.equal(await read(10, 0), '');
  t.same(await Promise.all([read(1, 2), read(4, 3), read(0, 1)]), ['12', '456', '0'], 'at once');
  for (const [offset, length] of [
    [0, 11],
    [9, 2],
    [10, 1],
    [-1, 1],
    [0, -1],
  ] as const)
    await t.rejects(source.read(offset, length), coded('SAFETENSORS_TRUNCATED', path, `bytes ${offset}`, 10));
  await source.close();
});

t.test('a file that became shorter after it was opened', async (t) => {
  const path = join(t.testdir({ file: '0123456789' }), 'file');
  const source = await openFileSource(path);
  await truncate(path, 4);
  await t.rejects(source.read(2, 6), coded('SAFETENSORS_TRUNCATED', path, 'shorter'));
  await source.close();
});

t.test('a missing file is named; an empty one has size 0', async (t) => {
  const folder = t.testdir({ empty: '' });
  await t.rejects(openFileSource(join(folder, 'none')), coded('NOT_FOUND', join(folder, 'none')));
  const source = await openFileSource(join(folder, 'empty'));
  t.equal(source.size, 0);
  t.equal((await source.read(0, 0)).length, 0);
  await source.close();
});
