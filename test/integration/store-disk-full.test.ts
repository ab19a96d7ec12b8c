import { createWriteStream } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import { mountSmallDisk, type SmallDisk } from '@fleetlora/bench/lib/small-disk';
import { restoreBackup } from '@fleetlora/coordinator';
import { createBackups } from '@fleetlora/coordinator/backup';
import { lockFolder, openStore, type Store, type StoreState } from '@fleetlora/coordinator/store';
import { systemClock } from '@fleetlora/shared/clock';
import { KiB, MiB } from '@fleetlora/shared/units';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { tempFolder } from '../lib/temp-folder.js';

const skip = enterOwnMounts() ?? false;

async function openDisk(t: Test, bytes = 4 * MiB): Promise<SmallDisk> {
  const disk = await mountSmallDisk(join(await tempFolder(t), 'disk'), bytes);
  t.teardown(() => disk.unmount());
  return disk;
}

/** A store on a disk that has no byte left, after one row of 64 KiB was written. */
async function openFullStore(
  t: Test,
): Promise<{ disk: SmallDisk; path: string; store: Store; states: StoreState[] }> {
  const disk = await openDisk(t);
  const path = join(disk.folder, 'coordinator.db');
  const lines: string[] = [];
  const log = {
    info: (_: object, text: string) => void lines.push(text),
    error: (_: object, text: string) => void lines.push(text),
  };
  const store = await openStore(path, { log });
  t.teardown(() => store.close());
  await store.identity.settings.insert('first', large('a'));
  await disk.fill();
  const states: StoreState[] = [];
  store.onState((state) => states.push(state));
  return { disk, path, store, states };
}
/** More than the write-ahead log has room for without growing. */
const large = (letter: string): string => letter.repeat(512 * KiB);
const full = ({ states }: { states: StoreState[] }): Promise<void> => untilTrue(() => states.length > 0);
async function untilTrue(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

t.test(
  'a row that finds no space waits; what is there can be read; then it is written once',
  { skip },
  async (t) => {
    const { disk, path, store, states } = await openFullStore(t);
    const writing = store.identity.settings.insert('second', large('b'));
    await full({ states });
    t.match(store.state(), { available: false, code: 'DISK_FULL' });
    t.equal(await store.identity.settings.read('first'), large('a'));
    t.equal(await store.identity.settings.read('second'), null, 'nothing of it is there yet');
    t.match(states, [{ available: false }], 'a read does not make it available');
    await disk.empty();
    await writing;
    t.match(states.at(-1), { available: true });
    await store.close();
    const again = await openStore(path);
    t.equal(await again.identity.settings.read('second'), large('b'));
    await again.close();
  },
);

t.test(
  'a transaction of three writes is all there or not at all, and those behind it keep their order',
  { skip },
  async (t) => {
    const { disk, store, states } = await openFullStore(t);
    let runs = 0;
    const moving = store.identity.transact(async ({ settings }) => {
      runs++;
      for (const key of ['x', 'y', 'z']) await settings.insert(key, large(key));
    });
    const behind = store.identity.settings.insert('x', 'later');
    await full({ states });
    for (const key of ['x', 'y', 'z']) t.equal(await store.identity.settings.read(key), null, key);
    await disk.empty();
    await Promise.all([moving, behind]);
    t.ok(runs > 1, `the work ran ${runs} times`);
    t.equal(await store.identity.settings.read('z'), large('z'));
    t.equal(await store.identity.settings.read('x'), large('x'), 'the first to come was the first to write');
  },
);

t.test(
  'a store that is closed while a write waits: the write is refused, the rows from before stay',
  { skip },
  async (t) => {
    const { disk, path, store, states } = await openFullStore(t);
    const writing = t.rejects(
      store.identity.settings.insert('second', large('b')),
      coded('STORE_UNAVAILABLE', 'closed'),
    );
    await full({ states });
    await store.close();
    await writing;
    await disk.empty();
    const again = await openStore(path);
    t.equal(await again.identity.settings.read('first'), large('a'));
    t.equal(await again.identity.settings.read('second'), null);
    await again.close();
  },
);

t.test('a store cannot be made on a full disk, and can once there is space', { skip }, async (t) => {
  const disk = await openDisk(t);
  const path = join(disk.folder, 'coordinator.db');
  await disk.fill();
  await t.rejects(openStore(path), coded('DISK_FULL', path));
  await disk.empty();
  await (await openStore(path)).close();
});

t.test(
  'a transaction larger than the cache, which the full disk ends early, waits too',
  { skip },
  async (t) => {
    const disk = await openDisk(t, 32 * MiB);
    const store = await openStore(join(disk.folder, 'coordinator.db'));
    t.teardown(() => store.close());
    await disk.fill();
    const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const writing = store.identity.transact(async ({ settings }) => {
      for (const key of keys) await settings.insert(key, large(key));
    });
    const ended = writing.then(
      () => 'written',
      (error: Error) => error.message,
    );
    await Promise.race([ended, untilTrue(() => !store.state().available)]);
    t.match(store.state(), { available: false, code: 'DISK_FULL' });
    await disk.empty();
    t.equal(await ended, 'written');
    t.equal((await store.identity.settings.read('h'))?.length, large('h').length);
  },
);

t.test('a store for a command does not wait for space: DISK_FULL is thrown', { skip }, async (t) => {
  const disk = await openDisk(t);
  const store = await openStore(join(disk.folder, 'coordinator.db'), { onOutage: 'fail' });
  t.teardown(() => store.close());
  await disk.fill();
  await t.rejects(store.identity.settings.insert('a', large('a')), coded('DISK_FULL', 'coordinator.db'));
  await disk.empty();
  await store.identity.settings.insert('a', large('a'));
});

t.test('a restore whose rows find no space is refused and leaves nothing', { skip }, async (t) => {
  const work = await tempFolder(t);
  const source = await openStore(join(work, 'store.db'));
  t.teardown(() => source.close());
  // 3 MiB of rows: unpacked they fit into the 4 MiB of the disk, unpacked and loaded they do not.
  for (const letter of ['a', 'b', 'c', 'd', 'e', 'f'])
    await source.identity.settings.insert(letter, large(letter));
  await mkdir(join(work, 'content'));
  const backups = createBackups({
    store: source,
    dataFolder: work,
    contentFolder: join(work, 'content'),
    incomingFolder: join(work, 'incoming'),
    version: '1.2.3',
    clock: systemClock,
    hold: (_what, work) => work(),
  });
  const file = join(work, 'some.tar');
  await pipeline(await backups.open(), createWriteStream(file));
  const disk = await openDisk(t);
  await t.rejects(restoreBackup(file, join(disk.folder, 'new'), null), coded('DISK_FULL'));
  t.same(await readdir(disk.folder), []);
});

t.test(
  'the lock of a data folder on a full disk: refused in words, and held once there is space',
  { skip },
  async (t) => {
    const disk = await openDisk(t);
    await disk.fill();
    await t.rejects(lockFolder(disk.folder), coded('DISK_FULL', disk.folder));
    await disk.empty();
    (await lockFolder(disk.folder)).release();
  },
);
