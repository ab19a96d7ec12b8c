import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createArtifacts } from '@fleetlora/agent/artifacts';
import { createSessionKeeper, loadOrCreateDeviceKey } from '@fleetlora/agent/identity';
import { createFileContentStore } from '@fleetlora/shared/node';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { startFakeCoordinator } from '../lib/fake-coordinator.js';
import { digestOf } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';

const blob = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 31) % 251));
const { signal } = new AbortController();

async function open(t: Test, options: { retryDelaysMs?: readonly number[]; stallMs?: number } = {}) {
  const folder = await tempFolder(t);
  const coordinator = await startFakeCoordinator(t);
  const store = await createFileContentStore(join(folder, 'content'));
  const key = await loadOrCreateDeviceKey(join(folder, 'key.pem'));
  const session = createSessionKeeper({ url: coordinator.url, deviceId: coordinator.deviceId, key });
  const artifacts = createArtifacts({
    url: coordinator.url,
    session,
    store,
    partialFolder: folder,
    retryDelaysMs: [0, 0],
    ...options,
  });
  const partialOf = (digest: string) => join(folder, digest);
  const ranges = () =>
    coordinator.requests.filter(({ path }) => path.startsWith('/v1/artifacts/')).map(({ range }) => range);
  return { coordinator, store, artifacts, session, partialOf, ranges, folder };
}

t.test('a blob is fetched once, proved and kept [100,000 bytes]', async (t) => {
  const { coordinator, store, artifacts, ranges, folder } = await open(t);
  const digest = coordinator.addBlob(blob);
  t.equal(await artifacts.ensure(digest, { signal }), 100_000);
  t.same(await readFile(store.pathOf(digest)), blob);
  t.equal(await artifacts.ensure(digest, { signal }), 0);
  t.same(ranges(), [undefined], 'one request');
  t.same((await readdir(folder)).sort(), ['content', 'key.pem'], 'no partial file is left');
});

t.test('two that want the same blob share one download', async (t) => {
  const { coordinator, artifacts, ranges } = await open(t);
  const digest = coordinator.addBlob(blob);
  await Promise.all([artifacts.ensure(digest, { signal }), artifacts.ensure(digest, { signal })]);
  t.equal(ranges().length, 1);
});

t.test('a connection that breaks is taken up at the next byte', async (t) => {
  const { coordinator, artifacts, store, ranges, partialOf } = await open(t);
  const digest = coordinator.addBlob(blob);
  coordinator.onArtifact = (_request, response) => {
    coordinator.onArtifact = null;
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 40_000), () => response.destroy());
    return true;
  };
  const seen: number[] = [];
  const fetched = await artifacts.ensure(digest, {
    signal,
    onProgress: ({ bytes }) => void seen.push(bytes),
  });
  t.equal(fetched, 100_000);
  t.equal(seen.at(-1), 100_000);
  t.match(ranges()[1], /^bytes=\d+-$/);
  t.ok(await store.has(digest));
  await t.rejects(readFile(partialOf(digest)), { code: 'ENOENT' });
});

for (const when of ['at once', 'in a microtask'] as const)
  t.test(`aborted ${when} behind its last byte, a download ends`, async (t) => {
    const { coordinator, artifacts, store } = await open(t);
    const digest = coordinator.addBlob(blob);
    const abort = new AbortController();
    const onProgress = ({ bytes }: { bytes: number }): void => {
      if (bytes < blob.length) return;
      if (when === 'at once') abort.abort();
      else queueMicrotask(() => abort.abort());
    };
    await t.rejects(artifacts.ensure(digest, { signal: abort.signal, onProgress }), { name: 'AbortError' });
    t.equal(await artifacts.ensure(digest, { signal }), 0, 'what had come is taken up');
    t.ok(await store.has(digest));
  });

t.test('what a killed agent had fetched is not fetched again', async (t) => {
  const { coordinator, artifacts, store, ranges, partialOf } = await open(t);
  const digest = coordinator.addBlob(blob);
  await writeFile(partialOf(digest), blob.subarray(0, 60_000));
  t.equal(await artifacts.ensure(digest, { signal }), 40_000);
  t.same(ranges(), ['bytes=60000-']);
  t.same(await readFile(store.pathOf(digest)), blob);
});

t.test('a whole partial file needs no byte: the server answers 416', async (t) => {
  const { coordinator, artifacts, store, partialOf } = await open(t);
  const digest = coordinator.addBlob(blob);
  await writeFile(partialOf(digest), blob);
  t.equal(await artifacts.ensure(digest, { signal }), 0);
  t.ok(await store.has(digest));
});

t.test('a damaged partial file costs one clean try', async (t) => {
  const { coordinator, artifacts, store, ranges, partialOf } = await open(t);
  const digest = coordinator.addBlob(blob);
  await writeFile(partialOf(digest), Buffer.alloc(60_000));
  await artifacts.ensure(digest, { signal });
  t.same(ranges(), ['bytes=60000-', undefined]);
  t.same(await readFile(store.pathOf(digest)), blob);
});

t.test('a server without ranges sends all, and all is taken anew', async (t) => {
  const { coordinator, artifacts, store, partialOf } = await open(t);
  const digest = coordinator.addBlob(blob);
  await writeFile(partialOf(digest), blob.subarray(0, 60_000));
  coordinator.onArtifact = (_request, response) => {
    response.writeHead(200, { 'content-length': blob.length }).end(blob);
    return true;
  };
  t.equal(await artifacts.ensure(digest, { signal }), 100_000);
  t.same(await readFile(store.pathOf(digest)), blob);
});

t.test('a range that begins elsewhere is refused, never pasted', async (t) => {
  const { coordinator, artifacts, store, partialOf } = await open(t, { retryDelaysMs: [] });
  const digest = coordinator.addBlob(blob);
  await writeFile(partialOf(digest), blob.subarray(0, 60_000));
  coordinator.onArtifact = (_request, response) => {
    response.writeHead(206, { 'content-range': 'bytes 0-99999/100000' }).end(blob);
    return true;
  };
  await t.rejects(
    artifacts.ensure(digest, { signal }),
    coded('COORDINATOR_UNREACHABLE', 'bytes 0-99999', 60000),
  );
  t.notOk(await store.has(digest));
  t.equal((await readFile(partialOf(digest))).length, 60_000, 'what was there stays');
});

t.test('bytes of another digest are refused and thrown away', async (t) => {
  const { coordinator, artifacts, store, partialOf } = await open(t);
  const wanted = digestOf(Buffer.from('something else'));
  coordinator.blobs.set(wanted, blob);
  await t.rejects(artifacts.ensure(wanted, { signal }), coded('DIGEST_MISMATCH', digestOf(blob), wanted));
  t.notOk(await store.has(wanted));
  await t.rejects(readFile(partialOf(wanted)), { code: 'ENOENT' });
});

t.test('a refused token is replaced once, a second refusal is the end', async (t) => {
  const { coordinator, artifacts, session } = await open(t);
  const digest = coordinator.addBlob(blob);
  await session.token();
  // The coordinator restarted: it knows no token any more.
  coordinator.tokens.clear();
  t.equal(await artifacts.ensure(digest, { signal }), 100_000);
  const other = coordinator.addBlob(Buffer.from('other'));
  coordinator.onArtifact = (_request, response) => {
    response.writeHead(401).end();
    return true;
  };
  await t.rejects(artifacts.ensure(other, { signal }), coded('UNAUTHENTICATED', 'fresh session'));
});

t.test('tries that bring nothing are counted, tries that bring bytes are not', async (t) => {
  const { coordinator, artifacts, ranges } = await open(t, { retryDelaysMs: [0, 0] });
  const digest = coordinator.addBlob(blob);
  coordinator.onArtifact = (_request, response) => {
    response.destroy();
    return true;
  };
  await t.rejects(artifacts.ensure(digest, { signal }), coded('COORDINATOR_UNREACHABLE'));
  t.equal(ranges().length, 3, 'the first try and one for each of two delays');

  // Ten answers of 10,000 bytes each, every one cut short: more failures than delays.
  coordinator.onArtifact = (request, response) => {
    const start = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
    response.writeHead(start === 0 ? 200 : 206, { 'content-range': `bytes ${start}-99999/100000` });
    response.write(blob.subarray(start, start + 10_000), () => {
      if (start + 10_000 < blob.length) response.destroy();
      else response.end();
    });
    return true;
  };
  t.equal(await artifacts.ensure(digest, { signal }), 100_000);
});

t.test('a server that falls silent is given up', async (t) => {
  const { coordinator, artifacts } = await open(t, { retryDelaysMs: [], stallMs: 100 });
  const digest = coordinator.addBlob(blob);
  coordinator.onArtifact = (_request, response) => {
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 10));
    return true;
  };
  await t.rejects(
    artifacts.ensure(digest, { signal }),
    coded('COORDINATOR_UNREACHABLE', 'nothing came for 100 ms'),
  );
});

t.test('an unknown digest, and a cancel', async (t) => {
  const { coordinator, artifacts } = await open(t);
  await t.rejects(artifacts.ensure('0'.repeat(64), { signal }), coded('NOT_FOUND'));
  const abort = new AbortController();
  coordinator.onArtifact = () => {
    abort.abort();
    return true;
  };
  await t.rejects(artifacts.ensure(coordinator.addBlob(blob), { signal: abort.signal }), {
    name: 'AbortError',
  });
});
