import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createArtifacts } from '@fleetlora/agent/artifacts';
import { createSessionKeeper, loadOrCreateDeviceKey } from '@fleetlora/agent/identity';
import { openOutbox } from '@fleetlora/agent/link';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import { BALLAST, mountSmallDisk, type SmallDisk } from '@fleetlora/bench/lib/small-disk';
import { createFileContentStore, createPatience } from '@fleetlora/shared/node';
import type { JobResult } from '@fleetlora/shared/protocol';
import { KiB, MiB } from '@fleetlora/shared/units';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { startFakeCoordinator } from '../lib/fake-coordinator.js';
import { tempFolder } from '../lib/temp-folder.js';
import { createTestIds } from '../lib/test-ids.js';

const skip = enterOwnMounts() ?? false;

const blob = Buffer.from(Array.from({ length: 400_000 }, (_, index) => (index * 31) % 251));
const failed = (jobId: string): JobResult => ({ jobId, outcome: 'failed', reason: 'no file' });
const { signal } = new AbortController();

/** A disk of 1 MiB, and a patience that tells when something waits. */
async function openDisk(t: Test) {
  const disk: SmallDisk = await mountSmallDisk(join(await tempFolder(t), 'disk'), MiB);
  let waits = (): void => {};
  const waiting = new Promise<void>((resolve) => {
    waits = resolve;
  });
  const patience = createPatience({ firstWaitMs: 5, maxWaitMs: 20, onWait: () => waits(), onGoOn: () => {} });
  t.teardown(async () => {
    patience.close();
    await disk.unmount();
  });
  return { disk, patience, waiting };
}

async function openArtifacts(t: Test) {
  const { disk, patience, waiting } = await openDisk(t);
  const coordinator = await startFakeCoordinator(t);
  const store = await createFileContentStore(join(disk.folder, 'content'));
  const key = await loadOrCreateDeviceKey(join(await tempFolder(t), 'key.pem'));
  const session = createSessionKeeper({ url: coordinator.url, deviceId: coordinator.deviceId, key });
  const settings = { url: coordinator.url, session, store, partialFolder: disk.folder, retryDelaysMs: [] };
  const ranges = (): (string | undefined)[] =>
    coordinator.requests.filter(({ path }) => path.startsWith('/v1/artifacts/')).map(({ range }) => range);
  return { disk, patience, waiting, coordinator, store, settings, ranges };
}

t.test(
  'without patience: 400,000 bytes do not fit into 97 pages, and none of them is written',
  { skip },
  async (t) => {
    // 98 pages are 401,408 bytes: the blob fits; 97 are 397,312: it does not.
    const { disk, coordinator, settings, store } = await openArtifacts(t);
    const artifacts = createArtifacts(settings);
    const digest = coordinator.addBlob(blob);
    await disk.fill(97 * 4 * KiB);
    await t.rejects(
      artifacts.ensure(digest, { signal }),
      coded('DISK_FULL', digest, '397312 bytes are free', '400000 are needed'),
    );
    t.same((await readdir(disk.folder)).sort(), ['content', BALLAST].sort());
    await disk.empty();
    await disk.fill(98 * 4 * KiB);
    t.equal(await artifacts.ensure(digest, { signal }), 400_000);
    t.ok(await store.has(digest));
  },
);

t.test('a download that fills the disk half-way waits, and goes on at the next byte', { skip }, async (t) => {
  const { disk, patience, waiting, coordinator, settings, store, ranges } = await openArtifacts(t);
  const digest = coordinator.addBlob(blob);
  await disk.fill(48 * KiB);
  // The length is not told, so it shows only as the bytes come.
  coordinator.onArtifact = (request, response) => {
    if (request.headers.range !== undefined) return false;
    response.writeHead(200, { 'transfer-encoding': 'chunked' }).end(blob);
    return true;
  };
  const fetching = createArtifacts({ ...settings, patience }).ensure(digest, { signal });
  await waiting;
  t.match(patience.waitingWith(), { code: 'DISK_FULL', message: new RegExp(digest) });
  const { size } = await stat(join(disk.folder, digest));
  t.ok(size > 0 && size <= 48 * KiB, `${size} bytes are kept`);
  await disk.empty();
  t.equal(await fetching, 400_000 - size, 'the rest alone came in the last try');
  t.equal(ranges().at(-1), `bytes=${size}-`);
  t.same(await readFile(store.pathOf(digest)), blob);
  t.same(await readdir(disk.folder), ['content']);
});

t.test('a canceled job ends the wait of its download', { skip }, async (t) => {
  const { disk, patience, waiting, coordinator, settings } = await openArtifacts(t);
  await disk.fill(4 * KiB);
  const abort = new AbortController();
  const fetching = createArtifacts({ ...settings, patience }).ensure(coordinator.addBlob(blob), {
    signal: abort.signal,
  });
  await waiting;
  abort.abort();
  await t.rejects(fetching, { name: 'AbortError' });
  t.equal(patience.waitingWith(), null);
});

t.test(
  "a full disk of the coordinator's is, for a device, a coordinator that is away",
  { skip },
  async (t) => {
    const { coordinator, settings, patience } = await openArtifacts(t);
    coordinator.onArtifact = (_request, response) => {
      response
        .writeHead(507, { 'content-type': 'application/json' })
        .end('{"code":"DISK_FULL","message":"the disk of the coordinator is full"}');
      return true;
    };
    await t.rejects(
      createArtifacts({ ...settings, patience }).ensure(coordinator.addBlob(blob), { signal }),
      coded('COORDINATOR_UNREACHABLE', 'of the coordinator is full'),
    );
  },
);

async function openFullOutbox(t: Test) {
  const opened = await openDisk(t);
  const folder = opened.disk.folder;
  await opened.disk.fill();
  let told = 0;
  const outbox = await openOutbox({
    folder,
    newId: createTestIds(),
    patience: opened.patience,
    onWaiting: () => void told++,
  });
  const messages = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name !== BALLAST);
  return { ...opened, outbox, messages, told: () => told };
}

t.test(
  'an outbox on a full disk: the entry waits in memory, and is stored once there is space',
  { skip },
  async (t) => {
    const { disk, outbox, messages, waiting, told } = await openFullOutbox(t);
    let stored = false;
    const adding = outbox.add('result', failed('job_0123456789')).then((entry) => {
      stored = true;
      return entry;
    });
    await waiting;
    t.match(outbox.entries(), [{ kind: 'result', body: { jobId: 'job_0123456789' } }]);
    t.same([await messages(), stored, told()], [[], false, 1]);
    await disk.empty();
    const entry = await adding;
    t.same(outbox.entries(), [entry]);
    const again = await openOutbox({ folder: disk.folder, newId: createTestIds() });
    t.same(again.entries(), [entry], 'another process finds it');
  },
);

t.test(
  'an entry that is acknowledged while it waits in memory needs no file any more',
  { skip },
  async (t) => {
    const { disk, outbox, messages, waiting, patience } = await openFullOutbox(t);
    const adding = outbox.add('result', failed('job_0123456789'));
    await waiting;
    const [entry] = outbox.entries();
    t.equal(await outbox.acknowledge(entry?.id ?? ''), true);
    await adding;
    t.same([outbox.entries(), patience.waitingWith()], [[], null]);
    await disk.empty();
    t.same(await messages(), []);
  },
);

t.test('an agent that ends gives up what waits: the job is sent again', { skip }, async (t) => {
  const { outbox, messages, waiting, patience } = await openFullOutbox(t);
  const adding = outbox.add('result', failed('job_0123456789'));
  const ended = t.rejects(adding, coded('DISK_FULL', 'cannot write'));
  await waiting;
  patience.close();
  await ended;
  t.same([outbox.entries(), await messages()], [[], []]);
});

t.test('64 entries may wait for space, the 65th is refused', { skip }, async (t) => {
  const { disk, outbox, waiting } = await openFullOutbox(t);
  const adding = Array.from({ length: 64 }, (_, job) =>
    outbox.add('result', failed(`job_${1_000_000_000 + job}`)),
  );
  await waiting;
  await t.rejects(outbox.add('result', failed('job_2000000000')), coded('DISK_FULL', '64 messages'));
  await disk.empty();
  await Promise.all(adding);
  t.equal(outbox.entries().length, 64);
});
