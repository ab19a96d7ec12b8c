import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileContentStore, sha256File, writeFileDurably } from '@fleetlora/shared/node';
import t from 'tap';
import { coded } from '../lib/coded.js';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const digestOf = (value: string): string => createHash('sha256').update(value).digest('hex');
const deviceOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.dev;
const noOtherFileSystem =
  [undefined, deviceOf('.')].includes(deviceOf('/dev/shm')) && '/dev/shm is no other file system here';
/** SHA-256 of "abc": FIPS 180-2, appendix B.1. */
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

t.test('put: named by its SHA-256, readable again, harmless twice and at once', async (t) => {
  const store = await createFileContentStore(join(t.testdir(), 'deep', 'content'));
  t.equal((await stat(store.folder)).mode & 0o777, 0o700);
  t.equal(await store.has(ABC), false);
  t.equal(await store.put(text('abc')), ABC);
  const { ino } = await stat(store.pathOf(ABC));
  t.equal(await store.put(text('abc')), ABC);
  t.equal((await stat(store.pathOf(ABC))).ino, ino, 'the second time writes nothing');
  t.equal(await store.has(ABC), true);
  const source = await store.open(ABC);
  t.equal(source.size, 3);
  t.strictSame(await source.read(1, 2), text('bc'));
  await source.close();
  await Promise.all(Array.from({ length: 8 }, () => store.put(text('same'))));
  t.same((await readdir(store.folder)).sort(), [ABC, digestOf('same')].sort(), 'no part file is left');
  t.equal(await store.put(new Uint8Array()), digestOf(''));
});

t.test('put, putFile and renew of what is there count as a use; its time tells', async (t) => {
  const folder = t.testdir({ again: 'abc' });
  const store = await createFileContentStore(join(folder, 'content'));
  t.equal(await store.renew(ABC), false);
  await store.put(text('abc'));
  const renewed = async (use: () => Promise<unknown>): Promise<boolean> => {
    await utimes(store.pathOf(ABC), 1000, 1000);
    await use();
    return (await stat(store.pathOf(ABC))).mtimeMs > 1_000_000;
  };
  t.equal(await renewed(() => store.put(text('abc'))), true);
  t.equal(await renewed(() => store.putFile(join(folder, 'again'))), true);
  t.equal(await renewed(async () => t.equal(await store.renew(ABC), true)), true);
  t.equal(await renewed(() => store.has(ABC)), false, 'a look is no use');
});

t.test('begin: written piece by piece, named by its SHA-256 at the end, not there before', async (t) => {
  const store = await createFileContentStore(t.testdir());
  const writer = await store.begin();
  await writer.expect(3);
  await writer.write(text('a'));
  await writer.write(text('bc'));
  t.equal(writer.bytes, 3);
  t.equal(await store.has(ABC), false);
  t.equal(await writer.finish(), ABC);
  await writer.discard();
  t.equal(await readFile(store.pathOf(ABC), 'utf8'), 'abc');
  const { ino } = await stat(store.pathOf(ABC));
  const again = await store.begin();
  await again.write(text('abc'));
  t.equal(await again.finish(), ABC);
  t.equal((await stat(store.pathOf(ABC))).ino, ino, 'the second time stores nothing');
  const given = await store.begin();
  await given.write(text('x'));
  await given.discard();
  t.same(await readdir(store.folder), [ABC], 'no part file is left');
  await t.rejects((await store.begin()).expect(2 ** 53), coded('DISK_FULL', store.folder, 2 ** 53));
});

t.test('content that is not there, and a name that is no digest', async (t) => {
  const store = await createFileContentStore(t.testdir());
  const absent = '0'.repeat(64);
  await t.rejects(store.open(absent), coded('NOT_FOUND', absent));
  for (const name of [
    '',
    '..',
    '../'.repeat(22),
    ABC.toUpperCase(),
    ABC.slice(1),
    `${ABC}0`,
    `${ABC.slice(0, 63)}g`,
  ]) {
    t.throws(() => store.pathOf(name), coded('BAD_REQUEST', name.slice(0, 80), 'SHA-256'));
    await t.rejects(store.has(name), { code: 'BAD_REQUEST' });
    await t.rejects(store.open(name), { code: 'BAD_REQUEST' });
  }
  await mkdir(store.pathOf(absent));
  t.equal(await store.has(absent), false, 'a folder of that name is not content');
});

t.test('putFile moves the file in; a file whose content is there already is removed', async (t) => {
  const folder = t.testdir({ first: 'abc', second: 'abc' });
  const store = await createFileContentStore(join(folder, 'content'));
  t.equal(await store.putFile(join(folder, 'first')), ABC);
  t.equal(await store.putFile(join(folder, 'second')), ABC);
  t.equal(await readFile(store.pathOf(ABC), 'utf8'), 'abc');
  t.same((await readdir(folder)).sort(), ['content']);
  t.same(await readdir(store.folder), [ABC]);
  await t.rejects(store.putFile(join(folder, 'none')), { code: 'ENOENT' });
});

t.test('putFile copies from another file system', { skip: noOtherFileSystem }, async (t) => {
  const store = await createFileContentStore(t.testdir());
  const elsewhere = await mkdtemp('/dev/shm/fleetlora-');
  t.teardown(() => rm(elsewhere, { recursive: true }));
  await writeFile(join(elsewhere, 'file'), 'abc');
  t.equal(await store.putFile(join(elsewhere, 'file')), ABC);
  t.same(await readdir(store.folder), [ABC]);
  t.same(await readdir(elsewhere), []);
});

t.test('writeFileDurably replaces the whole file with mode 600, or as asked', async (t) => {
  const path = join(t.testdir({ file: 'something longer' }), 'file');
  await writeFileDurably(path, 'new');
  t.equal(await readFile(path, 'utf8'), 'new');
  t.equal((await stat(path)).mode & 0o777, 0o600);
  await writeFileDurably(path, text('bytes'), 0o400);
  t.equal(await readFile(path, 'utf8'), 'bytes');
  t.equal((await stat(path)).mode & 0o777, 0o400);
});

t.test('writeFileDurably that fails keeps the old file and leaves no part file', async (t) => {
  const folder = t.testdir({ file: 'old', taken: { inside: 'x' } });
  await t.rejects(writeFileDurably(join(folder, 'none', 'file'), 'new'), { code: 'ENOENT' });
  await t.rejects(
    writeFileDurably(join(folder, 'taken'), 'new'),
    { code: 'EISDIR' },
    'a folder cannot be replaced',
  );
  // Not bytes at all: the write itself fails after the part file was made.
  await t.rejects(writeFileDurably(join(folder, 'file'), 7 as unknown as string), TypeError);
  t.same((await readdir(folder)).sort(), ['file', 'taken']);
  t.equal(await readFile(join(folder, 'file'), 'utf8'), 'old');
});

t.test('sha256File: the digest of a file of 3 bytes and of one longer than a read', async (t) => {
  const folder = t.testdir({ small: 'abc', large: 'x'.repeat(200_000) });
  t.equal(await sha256File(join(folder, 'small')), ABC);
  t.equal(await sha256File(join(folder, 'large')), digestOf('x'.repeat(200_000)));
  await t.rejects(sha256File(join(folder, 'none')), { code: 'ENOENT' });
});
