/**
 * Makes data-folder-VERSION.tar.gz: the data folders of a coordinator and of an agent as a release
 * left them, for the test that opens them with the code of today (test/integration/upgrade.test.ts).
 *
 *   node test/data/make-data-folder.mjs CHECKOUT OUT.tar.gz
 *
 * CHECKOUT is a built checkout of that release. Real processes of it import the tests' tiny base
 * and adapter, train a second adapter, search on one agent, release the chosen candidate and roll
 * it out; from 0.2.0 on a second search is cut off in its middle. Run it under `unshare -u sh -c 'hostname board; ...'` to keep the machine's name out.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [checkout, out] = process.argv.slice(2);
if (!checkout || !out) throw new Error('usage: make-data-folder.mjs CHECKOUT OUT.tar.gz');
const root = resolve(checkout);
const work = mkdtempSync(join(tmpdir(), 'fleetlora-old-'));
const cli = (workspace) => join(root, workspace, 'dist', 'cli', 'main.js');
const release = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
const children = [];
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
const start = (args) => {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return { child, line: once(child.stdout, 'data') };
};
const { tinyBaseFiles, tinyAdapterFiles } = await import(pathToFileURL(join(root, 'test/dist/lib/open-models.js')));

const coordinator = start([
  ...[cli('coordinator'), 'up', '--data', join(work, 'coordinator'), '--log', 'warn', '--json'],
  ...['--port', '0', '--mqtt-port', '0'],
]);
await coordinator.line;
const { url } = JSON.parse(readFileSync(join(work, 'coordinator', 'endpoint.json'), 'utf8'));
const authorization = `Bearer ${readFileSync(join(work, 'coordinator', 'admin-token'), 'utf8').trim()}`;
const call = async (method, path, body) => {
  const isBytes = body instanceof Uint8Array;
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization,
      ...(body && { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' }),
    },
    body: body && (isBytes ? body : JSON.stringify(body)),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  return response.json();
};
const until = async (ask, isDone) => {
  for (;;) {
    const answer = await ask();
    if (isDone(answer)) return answer;
    await sleep(100);
  }
};
const uploaded = new Set();
const upload = async (files) => {
  const digests = {};
  for (const [name, value] of Object.entries(files)) {
    const bytes = value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value));
    digests[name] = (await call('POST', '/v1/uploads', bytes)).digest;
    uploaded.add(digests[name]);
  }
  return digests;
};

const base = await call('POST', '/v1/bases', { name: 'tiny', files: await upload(tinyBaseFiles()) });
const adapter = await call('POST', '/v1/adapters', {
  ...{ name: 'wide', base: 'tiny', files: await upload(tinyAdapterFiles()) },
});
const rows = Array.from({ length: 40 }, (_, i) => ({ prompt: `row ${i}: `, completion: i % 2 ? 'odd' : 'even' }));
const text = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
const { digest } = await call('POST', '/v1/uploads', text);
const files = release === '0.1.0' ? { digest } : { files: { all: digest } };
await call('POST', '/v1/datasets', { name: 'rows', ...files });
await call('POST', '/v1/trainings', {
  ...{ name: 'trained', base: 'tiny', dataset: 'rows', space: adapter.space },
  options: { steps: 2, warmupSteps: 1, batchRows: 2, maxTokens: 16, checkpointEverySteps: 1, threads: 1, seed: 1 },
});

const { code } = await call('POST', '/v1/codes', { deviceClass: 'board' });
const agentData = ['--data', join(work, 'agent')];
spawnSync(process.execPath, [cli('agent'), 'enroll', url, code, ...agentData, '--name', 'first'], { stdio: 'inherit' });
const agent = start([cli('agent'), 'run', ...agentData, '--serve-port', '0', '--log', 'warn', '--json']);
await until(() => call('GET', '/v1/devices'), ([device]) => device?.online);
await until(() => call('GET', '/v1/trainings/trained'), ({ state }) => state !== 'running');
const search = {
  ...{ adapter: 'wide', dataset: 'rows', deviceClass: 'board', strategy: 'nsga2', quality: 'loss' },
  ...{ costs: ['decodeMs'], trials: 8, seed: 1, scoreRows: 20, finalRows: 20, finalPoints: 2, require: [] },
  ...{ plan: { promptTokens: 8, kvTokens: 8, prefillRepeats: 2, decodeRepeats: 2, threads: 1 }, maxTokens: 16 },
};
await call('POST', '/v1/searches', { name: 'old', ...search });
await until(() => call('GET', '/v1/searches/old'), ({ state }) => state === 'finished' || state === 'failed');
await call('POST', '/v1/releases', { name: 'one', search: 'old', goldenPrompts: ['row 1: ', 'row 2: '] });
const [{ id }] = await call('GET', '/v1/devices');
const rollout = await call('POST', '/v1/rollouts', { release: 'one', devices: [id] });
await until(() => call('GET', `/v1/rollouts/${rollout.id}`), ({ state }) => state !== 'running');
const summary = {
  training: (await call('GET', '/v1/trainings/trained')).state,
  search: (await call('GET', '/v1/searches/old')).state,
  rollout: (await call('GET', `/v1/rollouts/${rollout.id}`)).state,
};
if (release !== '0.1.0') {
  const scope = { kind: 'label', name: 'lab' };
  await call('PUT', '/v1/policies', { scope, policy: { maxTemperatureC: 150 } });
  await call('PUT', `/v1/devices/${id}/labels`, { labels: ['lab'] });
  await call('POST', '/v1/searches', { name: 'cut', ...search, trials: 12, seed: 2 });
  await until(() => call('GET', '/v1/searches/cut'), ({ finishedTrials }) => finishedTrials >= 3);
}

agent.child.kill('SIGTERM');
await once(agent.child, 'exit');
coordinator.child.kill('SIGTERM');
await once(coordinator.child, 'exit');

// What nothing of it needs only makes it large.
const content = join(work, 'coordinator', 'content');
for (const name of readdirSync(content))
  if (uploaded.has(name) && name !== base.tokenizerDigest && statSync(join(content, name)).size > 30_000)
    rmSync(join(content, name));
// Files that both have are stored once, as links.
for (const name of readdirSync(join(work, 'agent', 'content')))
  if (existsSync(join(content, name))) {
    rmSync(join(work, 'agent', 'content', name));
    linkSync(join(content, name), join(work, 'agent', 'content', name));
  }
for (const [folder, names] of [['coordinator', ['endpoint.json', 'lock', 'lock-journal', 'incoming']], ['agent', ['lock']]])
  for (const name of names) rmSync(join(work, folder, name), { recursive: true, force: true });
spawnSync('tar', ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '-I', 'gzip -9', '-cf', resolve(out), '-C', work, 'coordinator', 'agent'], {
  stdio: 'inherit',
});
console.log(JSON.stringify(summary), statSync(out).size, 'bytes');
rmSync(work, { recursive: true, force: true });
