import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { restoreBackup } from '@fleetlora/coordinator';
import { type BackupManifest, createBackups } from '@fleetlora/coordinator/backup';
import { openStore } from '@fleetlora/coordinator/store';
import { systemClock } from '@fleetlora/shared/clock';
import type { Code, Upload } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { runPostgres } from '../lib/postgres.js';
import { runCli } from '../lib/run-cli.js';
import { runCoordinator, startQuietCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

t.setTimeout(150_000);

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** A coordinator with codes, a stored file and a checkpoint, and its backup. */
async function makeBackup(t: Test) {
  const coordinator = await runCoordinator(t);
  const { call, folder, url, token } = coordinator;
  await call<Code>('POST /v1/codes', { deviceClass: 'board' });
  const bytes = new Uint8Array(300_000).map((_, i) => i % 251);
  const upload = (await (await coordinator.request('POST /v1/uploads', { raw: bytes })).json()) as Upload;
  await mkdir(join(folder, 'training', 'trn_01'), { recursive: true });
  await writeFile(join(folder, 'training', 'trn_01', 'checkpoint.safetensors'), 'a checkpoint');
  await writeFile(join(folder, 'training', 'trn_01', 'checkpoint.safetensors.x.part'), 'half of one');
  const file = join(await temporaryFolder(t), 'backup.tar');
  const env = { FLEETLORA_URL: url, FLEETLORA_TOKEN: token };
  const backup = () => runCli('fleetlora', ['backup', file], env);
  // Writers go on while the rows are read.
  const [result] = await Promise.all([
    backup(),
    ...Array.from({ length: 20 }, () => call<Code>('POST /v1/codes', {})),
  ]);
  t.match(result, { code: 0, stdout: /^\S+backup\.tar: / });
  return { coordinator, file, backup, upload, bytes };
}

t.test('backup of a running coordinator, restored', async (t) => {
  const { coordinator, file, backup, upload, bytes } = await makeBackup(t);
  t.equal((await stat(file)).mode & 0o777, 0o600);
  t.match(await backup(), { code: 1, stderr: /ALREADY_EXISTS/ });
  t.same(await readdir(join(coordinator.folder, 'incoming')), [], 'what was laid down is removed');

  const parent = await temporaryFolder(t);
  const folder = join(parent, 'restored');
  const result = await runCli('fleetlora', ['restore', file, '--data', folder]);
  t.match(result, { code: 0, stdout: /every digest checked/ });
  t.same(await readdir(parent), ['restored'], 'nothing is left beside it');
  t.equal((await stat(folder)).mode & 0o777, 0o700);
  const checkpoints = join(folder, 'training', 'trn_01');
  t.same(await readdir(checkpoints), ['checkpoint.safetensors'], 'nothing unfinished');
  const again = await runCli('fleetlora', ['restore', file, '--data', folder]);
  t.match(again, { code: 1, stderr: /STATE_CONFLICT.*wanted a folder that is empty/ });

  const restored = await runCoordinator(t, { folder, token: coordinator.token });
  t.equal((await restored.request('GET /v1/devices')).status, 200, 'the token is still good');
  const artifact = await restored.request(`GET /v1/artifacts/${upload.digest}`);
  t.same(new Uint8Array(await artifact.arrayBuffer()), bytes);
  for (const name of await readdir(join(folder, 'secrets')))
    t.same(
      await readFile(join(folder, 'secrets', name)),
      await readFile(join(coordinator.folder, 'secrets', name)),
      `${name} is the same`,
    );

  const server = await runPostgres(t);
  if (server === null) return;
  const env = { DATABASE_URL: server.url };
  const other = join(parent, 'on-postgres');
  t.match(await runCli('fleetlora', ['restore', file, '--data', other], env), {
    code: 0,
    stdout: /rows .*database fleetlora of/,
  });
  t.notOk(existsSync(join(other, 'coordinator.db')));
  const onPostgres = await runCoordinator(t, {
    folder: other,
    token: coordinator.token,
    config: { databaseUrl: server.url },
  });
  t.equal((await onPostgres.request('GET /v1/devices')).status, 200);
  await t.rejects(
    restoreBackup(file, join(parent, 'third'), server.url),
    coded('FOLDER_IN_USE', 'database fleetlora'),
  );
  await onPostgres.stop();
  await t.rejects(
    restoreBackup(file, join(parent, 'third'), server.url),
    coded('STATE_CONFLICT', 'wanted an empty'),
  );
  t.same((await readdir(parent)).sort(), ['on-postgres', 'restored']);
});

t.test('a receiver that hangs up ends the backup', async (t) => {
  const coordinator = await runCoordinator(t);
  const raw = new Uint8Array(8_000_000).fill(7);
  await coordinator.request('POST /v1/uploads', { raw });
  const request = get(`${coordinator.url}/v1/backup`, {
    headers: { authorization: `Bearer ${coordinator.token}` },
  });
  const [response] = await once(request, 'response');
  await once(response, 'readable');
  request.destroy();
  const incoming = join(coordinator.folder, 'incoming');
  while ((await readdir(incoming)).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  t.pass('its rows are removed');
});

t.test('store move: all rows, compared, and the file kept', async (t) => {
  const server = await runPostgres(t);
  if (server === null) return;
  const folder = await temporaryFolder(t);
  const start = (databaseUrl: string | null) => startQuietCoordinator(folder, databaseUrl);
  const embedded = await start(null);
  const move = () => runCli('fleetlora', ['store', 'move', '--data', folder], { DATABASE_URL: server.url });
  t.match(await move(), { code: 1, stderr: /FOLDER_IN_USE/ });
  const code = await fetch(`${embedded.url}/v1/codes`, {
    method: 'POST',
    headers: { authorization: `Bearer ${embedded.adminToken}`, 'content-type': 'application/json' },
    body: '{}',
  });
  t.equal(code.status, 201);
  await embedded.stop();
  t.match(await runCli('fleetlora', ['store', 'move', '--data', folder]), {
    code: 2,
    stderr: /DATABASE_URL is not set/,
  });
  const moved = await move();
  t.match(moved, { code: 0, stdout: /codes +1 +[0-9a-f]{16}/ });
  t.notMatch(moved.stdout + moved.stderr, new URL(server.url).password);
  const kept = (await readdir(folder)).filter((name) => name.startsWith('coordinator.db'));
  t.same(kept, ['coordinator.db.moved'], 'one whole file');
  t.equal(await server.query('SELECT count(*) FROM codes', 'fleetlora'), '1');
  await t.rejects(start(null), coded('STATE_CONFLICT', 'in PostgreSQL', 'DATABASE_URL is not set'));
  const again = await start(server.url);
  t.equal(again.adminToken, null);
  await again.stop();
  t.match(await move(), { code: 1, stderr: /NOT_FOUND.*no SQLite store/ });
});

t.test('what is no whole backup is refused, and leaves nothing', async (t) => {
  const work = await temporaryFolder(t);
  const store = await openStore(join(work, 'store.db'));
  t.teardown(() => store.close());
  await store.identity.settings.insert('key', 'value');
  await mkdir(join(work, 'content'));
  await writeFile(join(work, 'content', sha256('some content')), 'some content');
  await writeFile(join(work, 'admin-token'), 'token\n');
  const backups = createBackups({
    store,
    dataFolder: work,
    contentFolder: join(work, 'content'),
    incomingFolder: join(work, 'incoming'),
    version: '1.2.3',
    clock: systemClock,
    hold: (_what, work) => work(),
  });
  const chunks: Buffer[] = [];
  for await (const chunk of await backups.open()) chunks.push(chunk as Buffer);
  const whole = Buffer.concat(chunks);
  const parent = join(work, 'parent');
  await mkdir(parent);
  const file = join(work, 'some.tar');
  const refuses = async (bytes: Uint8Array, title: string, ...words: string[]): Promise<void> => {
    await writeFile(file, bytes);
    await t.rejects(restoreBackup(file, join(parent, 'new'), null), coded('BACKUP_INVALID', ...words), title);
    t.same(await readdir(parent), [], `${title}: nothing is left`);
  };
  /** The archive with one text in place of another of the same length. */
  const altered = (from: string, to: string): Buffer => {
    t.equal(from.length, to.length);
    const at = whole.indexOf(from);
    t.ok(at >= 0, `${from} is in it`);
    return Buffer.concat([whole.subarray(0, at), Buffer.from(to), whole.subarray(at + from.length)]);
  };

  await refuses(Buffer.from('no tar'), 'not a tar archive');
  await refuses(new Uint8Array(), 'an empty file', 'empty');
  const lastFile = whole.lastIndexOf('some content');
  for (const length of [100, 512, 700, 2048, lastFile, lastFile + 5])
    await refuses(whole.subarray(0, length), `cut to ${length} of ${whole.length} bytes`);
  await refuses(altered('some content', 'some c0ntent'), 'a changed byte of a file', 'digest');
  await refuses(altered('"value"', '"VALUE"'), 'a changed byte of a row', 'tables/settings.jsonl');
  await refuses(altered('"version":1', '"version":2'), 'a newer version', 'version 2', 'up to 1');
  await refuses(altered('fleetlora-backup', 'fleetlora-other!'), 'another format', 'format');
  await refuses(altered('"path":"admin-token"', '"path":"../in-token"'), 'a path outside', '../in-token');
  await refuses(altered('"path":"admin-token"', '"path":"/etc/passwd"'), 'an absolute path', '/etc/passwd');
  await refuses(altered('"rows":1,', '"rows":2,'), 'another number of rows');

  await writeFile(file, whole);
  const restored = await restoreBackup(file, join(parent, 'new'), null);
  t.match(restored.manifest as BackupManifest, { fleetlora: '1.2.3', engine: 'sqlite' });
  t.equal(await readFile(join(parent, 'new', 'admin-token'), 'utf8'), 'token\n');
  await truncate(file, 0);
  await t.rejects(
    restoreBackup(join(work, 'none.tar'), join(parent, 'x'), null),
    coded('NOT_FOUND', 'none.tar'),
  );
});
