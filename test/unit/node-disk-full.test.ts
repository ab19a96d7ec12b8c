import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import { BALLAST, mountSmallDisk, type SmallDisk } from '@fleetlora/bench/lib/small-disk';
import { CodedError } from '@fleetlora/shared/errors';
import {
  asDiskFull,
  createFileContentStore,
  createPatience,
  isDiskFull,
  orDiskFull,
  requireSpace,
  sweepParts,
  writeFileDurably,
} from '@fleetlora/shared/node';
import { KiB } from '@fleetlora/shared/units';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { tempFolder } from '../lib/temp-folder.js';

const noMounts = enterOwnMounts() ?? false;

/** A file system of 256 KiB, 64 pages, of which the root folder takes none. */
async function openDisk(t: Test, files?: number): Promise<SmallDisk> {
  const disk = await mountSmallDisk(join(await tempFolder(t), 'disk'), 256 * KiB, files);
  t.teardown(() => disk.unmount());
  return disk;
}
const errnoOf = (code: string, errno: number) => Object.assign(new Error(code), { code, errno });

t.test('which errors say that a disk is full: by name, by number, and ours', async (t) => {
  const { ENOSPC, EDQUOT, EIO } = constants.errno;
  t.ok(isDiskFull(errnoOf('ENOSPC', -ENOSPC)));
  t.ok(isDiskFull(errnoOf('EDQUOT', -EDQUOT)));
  t.ok(isDiskFull(errnoOf(`Unknown system error -${EDQUOT}`, -EDQUOT)), 'libuv has no name for it');
  t.ok(isDiskFull(new CodedError('DISK_FULL', 'full')));
  for (const other of [errnoOf('EIO', -EIO), new CodedError('NOT_FOUND', 'none'), null, undefined, 'ENOSPC'])
    t.notOk(isDiskFull(other), String(other));
});

t.test('a quota that is used up is told as one; other errors stay what they are', async (t) => {
  const path = join(await tempFolder(t), 'file');
  const quota = errnoOf('Unknown system error -122', -constants.errno.EDQUOT);
  t.match(await asDiskFull(quota, { path, what: 'the upload' }), {
    code: 'DISK_FULL',
    kind: 'unavailable',
    message: `cannot write the upload to ${path}: its owner's quota is used up`,
    cause: quota,
  });
  const denied = errnoOf('EACCES', -13);
  t.equal(await asDiskFull(denied, { path }), denied);
  const coded = new CodedError('DISK_FULL', 'said already');
  t.equal(await asDiskFull(coded, { path }), coded);
  t.equal(await orDiskFull({ path }, async () => 7), 7);
});

t.test(
  'a file of 9 pages where 8 are free: told with both, and the old one stays',
  { skip: noMounts },
  async (t) => {
    const disk = await openDisk(t);
    const path = join(disk.folder, 'file');
    await writeFileDurably(path, 'old');
    await disk.fill(8 * 4096);
    await t.rejects(writeFileDurably(path, new Uint8Array(9 * 4096)), {
      code: 'DISK_FULL',
      message: `cannot write ${path}: the disk is full, 32768 bytes are free, 36864 are needed`,
    });
    t.equal(await readFile(path, 'utf8'), 'old');
    t.same((await readdir(disk.folder)).sort(), ['file', BALLAST]);
    await writeFileDurably(path, new Uint8Array(8 * 4096));
    t.equal((await readFile(path)).length, 32768, 'eight pages fit');
  },
);

t.test('a disk without room for another file', { skip: noMounts }, async (t) => {
  const disk = await openDisk(t, 3);
  await writeFile(join(disk.folder, 'one'), '');
  await writeFile(join(disk.folder, 'two'), '');
  await t.rejects(
    writeFileDurably(join(disk.folder, 'three'), 'x'),
    coded('DISK_FULL', 'no room for another file'),
  );
  t.same((await readdir(disk.folder)).sort(), ['one', 'two']);
});

t.test('requireSpace: exactly what is free passes, a byte more does not', { skip: noMounts }, async (t) => {
  const disk = await openDisk(t);
  await disk.fill(4 * 4096);
  const path = join(disk.folder, 'file');
  await requireSpace({ path, neededBytes: 16384 });
  await t.rejects(
    requireSpace({ path, what: 'the upload', neededBytes: 16385 }),
    coded('DISK_FULL', 'the upload', path, '16384 bytes are free', '16385 are needed'),
  );
  await requireSpace({ path: '/nonexistent/folder/file', neededBytes: 1e15 });
});

t.test(
  'a content store on a full disk: nothing half-written, and whole once there is space',
  { skip: noMounts },
  async (t) => {
    const disk = await openDisk(t);
    const store = await createFileContentStore(join(disk.folder, 'content'));
    const bytes = new Uint8Array(40 * KiB).fill(7);
    const elsewhere = join(await tempFolder(t), 'file');
    await writeFile(elsewhere, bytes);
    await disk.fill(20 * KiB);
    await t.rejects(store.put(bytes), coded('DISK_FULL', store.folder, '40960 are needed'));
    await t.rejects(store.putFile(elsewhere), coded('DISK_FULL', store.folder, '40960 are needed'));
    t.same(await readdir(store.folder), []);
    t.equal((await readFile(elsewhere)).length, 40 * KiB, 'the file to be moved is where it was');
    await disk.empty();
    const digest = await store.put(bytes);
    t.equal(await store.putFile(elsewhere), digest);
    t.same(await readdir(store.folder), [digest]);
  },
);

t.test('sweepParts removes what a killed process was writing, and nothing else', async (t) => {
  const folder = await tempFolder(t);
  await writeFile(join(folder, 'a.0b1c.part'), 'x');
  await writeFile(join(folder, 'a'), 'x');
  await mkdir(join(folder, 'part'));
  await sweepParts(folder);
  t.same((await readdir(folder)).sort(), ['a', 'part']);
});

/** A patience that writes down what it was told. */
function openPatience() {
  const told: string[] = [];
  const patience = createPatience({
    firstWaitMs: 1,
    maxWaitMs: 2,
    onWait: ({ message }) => void told.push(`waits: ${message}`),
    onGoOn: () => void told.push('goes on'),
  });
  return { patience, told };
}

t.test(
  'patience: a write is done again until there is space, and both are told once',
  { skip: noMounts },
  async (t) => {
    const disk = await openDisk(t);
    const { patience, told } = openPatience();
    const path = join(disk.folder, 'file');
    await disk.fill();
    let tries = 0;
    const write = async (): Promise<string> => {
      if (++tries === 4) await disk.empty();
      await writeFileDurably(path, 'whole');
      return 'written';
    };
    const one = patience.run(write);
    const other = patience.run(() => writeFileDurably(join(disk.folder, 'other'), 'whole'));
    t.equal(await one, 'written');
    await other;
    t.equal(tries, 4);
    t.equal(await readFile(path, 'utf8'), 'whole');
    t.match(told[0], /^waits: cannot write .*: the disk is full, \d+ bytes are free, 5 are needed$/);
    t.same(told.slice(1), ['goes on']);
    t.equal(patience.waitingWith(), null);
  },
);

t.test('patience: raw errors count too, others are thrown at once', async (t) => {
  const { patience, told } = openPatience();
  let tries = 0;
  await patience.run(async () => {
    if (++tries < 3) throw errnoOf('ENOSPC', -constants.errno.ENOSPC);
  });
  t.equal(tries, 3);
  await t.rejects(
    patience.run(() => Promise.reject(new CodedError('NOT_FOUND', 'none'))),
    coded('NOT_FOUND'),
  );
  t.equal(told.length, 2, 'nobody waited for that');
});

t.test('patience: a signal ends its own wait with its reason, close ends all with DISK_FULL', async (t) => {
  const { patience, told } = openPatience();
  const full = (): Promise<never> => Promise.reject(new CodedError('DISK_FULL', 'full'));
  const abort = new AbortController();
  const mine = patience.run(full, abort.signal);
  const others = [patience.run(full), patience.run(full)];
  const ended = Promise.allSettled([mine, ...others]);
  while (patience.waitingWith() === null) await new Promise(setImmediate);
  abort.abort(new Error('canceled'));
  await t.rejects(mine, { message: 'canceled' });
  t.match(patience.waitingWith(), { code: 'DISK_FULL' });
  patience.close();
  t.match(
    (await ended).map((result) => result.status === 'rejected' && (result.reason as Error).message),
    ['canceled', 'full', 'full'],
  );
  await t.rejects(patience.run(full), coded('DISK_FULL'), 'after close it is tried once');
  t.same(told, ['waits: full']);
});
