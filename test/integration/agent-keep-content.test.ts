import { access, mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createArtifacts, createContentKeeper } from '@fleetlora/agent/artifacts';
import { createSessionKeeper, loadOrCreateDeviceKey } from '@fleetlora/agent/identity';
import { systemClock } from '@fleetlora/shared/clock';
import { createFileContentStore } from '@fleetlora/shared/node';
import t, { type Test } from 'tap';
import { startFakeCoordinator } from '../lib/fake-coordinator.js';
import { tempFolder } from '../lib/temp-folder.js';

const DAY = 86_400_000;
const { signal } = new AbortController();
const blobOf = (letter: string): Buffer => Buffer.alloc(1000, letter);

/** Artifacts with a keeper over real folders, and a coordinator that has blobs of 1,000 bytes. */
async function open(t: Test, limitBytes: number | null) {
  const folder = await tempFolder(t);
  const partialFolder = join(folder, 'partial');
  await mkdir(partialFolder);
  const coordinator = await startFakeCoordinator(t);
  const store = await createFileContentStore(join(folder, 'content'));
  const key = await loadOrCreateDeviceKey(join(folder, 'key.pem'));
  const session = createSessionKeeper({ url: coordinator.url, deviceId: coordinator.deviceId, key });
  const needed = new Set<string>();
  const deleted: string[] = [];
  const keeper = createContentKeeper({
    store,
    partialFolder,
    limitBytes,
    needed: async () => [...needed, ...artifacts.underWay()],
    clock: systemClock,
    onDeleted: ({ digest }) => void deleted.push(digest),
  });
  const artifacts = createArtifacts({
    url: coordinator.url,
    session,
    store,
    partialFolder,
    keeper,
    retryDelaysMs: [],
  });
  const digests = new Map<string, string>();
  const fetchBlob = async (letter: string): Promise<number> => {
    const digest = coordinator.addBlob(blobOf(letter));
    digests.set(digest, letter);
    return artifacts.ensure(digest, { signal });
  };
  const digestOf = (letter: string): string => [...digests].find(([, known]) => known === letter)?.[0] ?? '';
  const age = async (letter: string, ageMs: number, of = store.folder): Promise<void> => {
    const time = new Date(Date.now() - ageMs);
    await utimes(join(of, digestOf(letter)), time, time);
  };
  const here = async (): Promise<string> =>
    (await readdir(store.folder))
      .map((digest) => digests.get(digest))
      .sort()
      .join('');
  return { coordinator, keeper, artifacts, needed, deleted, fetchBlob, digestOf, age, here, partialFolder };
}

t.test('a limit of 2,500 bytes: a third blob takes the place of the one unused for longest', async (t) => {
  const { fetchBlob, age, here, needed, digestOf } = await open(t, 2500);
  await fetchBlob('a');
  await fetchBlob('b');
  await age('a', 5000);
  await age('b', 9000);
  await fetchBlob('c');
  t.equal(await here(), 'ac');
  await age('a', 5000);
  await age('c', 9000);
  t.equal(await fetchBlob('c'), 0, 'here already: used now');
  await fetchBlob('d');
  t.equal(await here(), 'cd', 'so the other one was unused for longer');
  for (const letter of ['c', 'd']) needed.add(digestOf(letter));
  t.equal(await fetchBlob('e'), 1000);
  t.equal(await here(), 'cde', 'what is needed stays above the limit');
});

t.test('work under way keeps what it uses and makes; the end of it gives it free', async (t) => {
  const { fetchBlob, age, here, keeper } = await open(t, 1500);
  await fetchBlob('a');
  await age('a', 60_000);
  await keeper.during(async () => {
    await fetchBlob('b');
    t.equal(await here(), 'b');
    await fetchBlob('c');
    await keeper.makeRoom(0);
    t.equal(await here(), 'bc', 'both belong to this work');
  });
  await keeper.makeRoom(0);
  t.equal((await here()).length, 1);
});

t.test('30 days unused, and a download that was given up as long ago', async (t) => {
  const { fetchBlob, age, here, keeper, partialFolder, deleted, digestOf, coordinator } = await open(t, null);
  for (const letter of ['a', 'b']) await fetchBlob(letter);
  await age('a', 31 * DAY);
  const partial = coordinator.addBlob(blobOf('p'));
  await writeFile(join(partialFolder, partial), 'half');
  await keeper.makeRoom(0);
  t.equal(await here(), 'b');
  await access(join(partialFolder, partial));
  const old = new Date(Date.now() - 31 * DAY);
  await utimes(join(partialFolder, partial), old, old);
  await keeper.makeRoom(0);
  t.same(await readdir(partialFolder), []);
  t.same(deleted, [digestOf('a'), partial]);
});

t.test('a download under way is not deleted by the room it makes for itself', async (t) => {
  const { fetchBlob, here, partialFolder, coordinator, artifacts } = await open(t, 100);
  const digest = coordinator.addBlob(blobOf('x'));
  await writeFile(join(partialFolder, digest), blobOf('x').subarray(0, 600));
  const old = new Date(Date.now() - 90 * DAY);
  await utimes(join(partialFolder, digest), old, old);
  t.equal(await artifacts.ensure(digest, { signal }), 400, 'taken up at byte 600');
  await fetchBlob('y');
  t.equal(await here(), 'y', 'the limit of 100 bytes leaves only what came last');
});

t.test('20 uses and 20 rounds of deletion at once: what a use found is there', async (t) => {
  const { artifacts, keeper, digestOf, fetchBlob, age, here } = await open(t, 0);
  await fetchBlob('a');
  await age('a', 60_000);
  await keeper.during(async () => {
    const uses = Array.from({ length: 20 }, async (_, index) => {
      if (index % 2 === 0) await keeper.makeRoom(index);
      await artifacts.ensure(digestOf('a'), { signal });
      t.equal(await here(), 'a');
    });
    await Promise.all([...uses, ...uses.map(() => keeper.makeRoom(1))]);
  });
});
