import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { receiveUpload } from '@fleetlora/coordinator/api';
import { createFileContentStore } from '@fleetlora/shared/node';
import type { Upload } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { runCoordinator, type TestCoordinator, temporaryFolder } from '../lib/running-coordinator.js';
import { enrollTestDevice } from '../lib/test-device.js';

const bytes = randomBytes(300_000);
const digest = createHash('sha256').update(bytes).digest('hex');

async function upload(coordinator: TestCoordinator): Promise<Upload> {
  const response = await coordinator.request('POST /v1/uploads', { raw: bytes });
  return (await response.json()) as Upload;
}

t.test('an upload is stored under its digest, twice without harm', async (t) => {
  const coordinator = await runCoordinator(t);
  t.same(await upload(coordinator), { digest, bytes: 300_000 });
  t.same(await upload(coordinator), { digest, bytes: 300_000 });
  t.same(await readdir(join(coordinator.folder, 'content')), [digest]);
  t.same(await readdir(join(coordinator.folder, 'incoming')), []);
});

t.test('a device resumes an artifact from the byte it has', async (t) => {
  const coordinator = await runCoordinator(t);
  await upload(coordinator);
  const token = await (await enrollTestDevice(coordinator)).openSession();
  const get = (headers: Record<string, string>, method = 'GET') =>
    coordinator.request(`${method} /v1/artifacts/${digest}`, { token, headers });

  const whole = await get({});
  t.equal(whole.status, 200);
  t.match(Object.fromEntries(whole.headers), {
    etag: `"${digest}"`,
    'accept-ranges': 'bytes',
    'content-length': '300000',
  });
  t.ok(bytes.equals(Buffer.from(await whole.arrayBuffer())));

  for (const [range, first, last] of [
    ['bytes=0-', 0, 299_999],
    ['bytes=123456-', 123_456, 299_999],
    ['bytes=299999-', 299_999, 299_999],
    ['bytes=10-19', 10, 19],
    ['bytes=299990-400000', 299_990, 299_999],
    ['bytes=-5', 299_995, 299_999],
    ['bytes=-400000', 0, 299_999],
  ] as const) {
    const part = await get({ range, 'if-range': `"${digest}"` });
    t.equal(part.status, 206, range);
    t.equal(part.headers.get('content-range'), `bytes ${first}-${last}/300000`);
    t.ok(bytes.subarray(first, last + 1).equals(Buffer.from(await part.arrayBuffer())), `bytes of ${range}`);
  }
  for (const range of ['bytes=300000-', 'bytes=-0']) {
    const part = await get({ range });
    t.equal(part.status, 416, range);
    t.equal(part.headers.get('content-range'), 'bytes */300000');
    t.match(await part.json(), { code: 'RANGE_INVALID' });
  }
  for (const range of ['bytes=5-4', 'bytes=a-b', 'bytes=-', 'lines=0-1', 'bytes=0-1,4-5']) {
    const part = await get({ range });
    t.equal(part.status, 200, `${range} is ignored`);
    await part.arrayBuffer();
  }
  const other = await get({ range: 'bytes=10-', 'if-range': '"another"' });
  t.equal(other.status, 200, 'a range of another version brings the whole');
  await other.arrayBuffer();
  t.equal((await get({ 'if-none-match': `"${digest}"` })).status, 304);
  const head = await get({}, 'HEAD');
  t.equal(head.headers.get('content-length'), '300000');
});

t.test('an artifact that is not there', async (t) => {
  const coordinator = await runCoordinator(t);
  const response = await coordinator.request(`GET /v1/artifacts/${'0'.repeat(64)}`);
  t.equal(response.status, 404);
  t.match(await response.json(), { code: 'NOT_FOUND' });
});

t.test('an upload that breaks off leaves nothing', async (t) => {
  const coordinator = await runCoordinator(t);
  const sender = request(`${coordinator.url}/v1/uploads`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${coordinator.token}`,
      'content-type': 'application/octet-stream',
      'content-length': 1_000_000,
    },
  });
  sender.on('error', () => {});
  sender.write(bytes);
  const incoming = join(coordinator.folder, 'incoming');
  const until = async (files: number): Promise<void> => {
    while ((await readdir(incoming)).length !== files) await new Promise(setImmediate);
  };
  await until(1);
  const closed = new Promise((resolve) => sender.once('close', resolve));
  sender.destroy();
  await closed;
  await until(0);
  t.same(await readdir(join(coordinator.folder, 'content')), []);
});

t.test('an upload of 1,000 bytes at most: 1,000 pass, 1,001 do not', async (t) => {
  const folder = await temporaryFolder(t);
  const store = await createFileContentStore(join(folder, 'content'));
  const source = (length: number) => Readable.from([bytes.subarray(0, 600), bytes.subarray(600, length)]);
  t.match(await receiveUpload(source(1000), store, folder, { bytesAtMost: 1000 }), { bytes: 1000 });
  await t.rejects(
    receiveUpload(source(1001), store, folder, { bytesAtMost: 1000 }),
    coded('MESSAGE_TOO_LARGE', 1000),
  );
  t.equal((await readdir(store.folder)).length, 1);
  t.same(await readdir(folder), ['content'], 'nothing left on the way');
});
