import { once } from 'node:events';
import { access, copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import type { Code, Dataset, Device } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { checkout } from '../lib/reference.js';
import { runCli, spawnCli, waitForOutput } from '../lib/run-cli.js';

/** `fleetlora up` on free ports over `data`, ended after the test. */
async function startUp(t: Test, data: string): Promise<{ url: string; end: () => Promise<number | null> }> {
  const child = spawnCli('fleetlora', [
    'up',
    '--data',
    data,
    '--port',
    '0',
    '--mqtt-port',
    '0',
    '--log',
    'error',
  ]);
  const end = async (): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    return child.exitCode;
  };
  t.teardown(end);
  const [, url = ''] = await waitForOutput(child, /coordinator +(http:\S+)[\s\S]*admin token/);
  return { url, end };
}

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

t.test('bad usage ends with code 2 and one line that names what is wrong', async (t) => {
  const cases: [string[], RegExp][] = [
    [['nonsense'], /unknown command 'nonsense'/],
    [['devices', '--nonsense'], /unknown option '--nonsense'/],
    [['base', 'import'], /missing required argument 'path'/],
    [['train', '--base', 'b'], /required option '--space <space>'/],
    [['train', '--base', 'b', '--space', 'lonas', '--out', 'o'], /no data was given, wanted --data FILE or/],
    [['train', '--base', 'b', '--space', 'x', '--out', 'o', '--data', 'f', '--dataset', 'd'], /both given/],
    [['dataset', 'import'], /no file was given/],
    [['dataset', 'import', 'a.csv', '--scorer', 'regex'], /--scorer regex needs --pattern/],
    [['dataset', 'import', 'a.csv', '--split', '80/20'], /'80\/20' is invalid.*add up to 100/],
    [['up', '--port', '65536'], /'65536' is invalid.*0 to 65535/],
    [['up', '--qualify', 'never'], /--qualify never is not one of birth, request/],
    [
      ['search', 'start', '--adapter', 'a', '--dataset', 'd', '--cost', 'watts'],
      /watts is not one of decodeMs/,
    ],
    [['rollout', 'start', '--release', 'r'], /either --class or --device/],
    [['devices', '--url', 'nowhere'], /--url is "nowhere", wanted an address/],
    [['base'], /Usage: fleetlora base/],
  ];
  const results = await Promise.all(cases.map(([args]) => runCli('fleetlora', args)));
  for (const [index, { code, stdout, stderr }] of results.entries()) {
    const [args, pattern] = cases[index] as [string[], RegExp];
    t.equal(code, 2, `fleetlora ${args.join(' ')}`);
    t.match(stderr, pattern);
    t.equal(stdout, '');
  }
});

t.test('a coordinator that is not there: code 1, its address and what to do', async (t) => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const { code, stdout, stderr } = await runCli('fleetlora', ['devices', '--url', url, '--json']);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.match(stderr, /^fleetlora: COORDINATOR_UNREACHABLE: no coordinator answers at http:.*fleetlora up.*\n$/);
  t.match(stderr, url);
  const folder = t.testdir();
  const unnamed = await runCli('fleetlora', ['devices', '--data-folder', folder]);
  t.equal(unnamed.code, 1);
  t.match(unnamed.stderr, /COORDINATOR_UNREACHABLE: no --url, no FLEETLORA_URL and no .*endpoint\.json/);
});

t.test('a server that is no coordinator is told apart', async (t) => {
  const server = createServer((socket) => {
    socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { code, stderr } = await runCli('fleetlora', ['devices', '--url', `http://127.0.0.1:${port}`]);
  t.equal(code, 1);
  t.match(stderr, /HTTP 404, not by a fleetlora coordinator/);
});

t.test('a running coordinator: found by its folder, data as JSON, errors as one line', async (t) => {
  const data = join(t.testdir(), 'coordinator');
  const { url, end } = await startUp(t, data);
  const at = { FLEETLORA_DATA: data };
  t.equal((await stat(join(data, 'admin-token'))).mode & 0o777, 0o600, 'the token is for its owner alone');

  await t.test('every list prints JSON that parses', async (t) => {
    const lists = [
      'base list',
      'adapter list',
      'dataset list',
      'training list',
      'search list',
      'release list',
      'rollout list',
      'devices',
    ];
    const results = await Promise.all(
      lists.map((list) => runCli('fleetlora', [...list.split(' '), '--json'], at)),
    );
    for (const [index, { code, stdout, stderr }] of results.entries()) {
      t.equal(code, 0, lists[index] ?? '');
      t.strictSame(JSON.parse(stdout) as Device[], []);
      t.equal(stderr, '');
    }
  });

  await t.test('a code, as JSON and for people', async (t) => {
    const json = await runCli('fleetlora', ['code', 'create', '--ttl', '30m', '--json'], at);
    const code = JSON.parse(json.stdout) as Code;
    t.match(code, { code: /^[0-9A-Z-]{10,}$/, enrollUrl: url });
    const shown = await runCli('fleetlora', ['code', 'create'], at);
    t.match(shown.stdout, new RegExp(`fleetlora-agent enroll ${url} [0-9A-Z-]+`));
    t.notMatch(shown.stdout, '\u001b', 'no colours without a terminal');
  });

  await t.test('a wrong token and a missing one: code 1', async (t) => {
    const wrong = await runCli('fleetlora', ['devices', '--token', 'wrong'], at);
    t.equal(wrong.code, 1);
    t.match(wrong.stderr, /^fleetlora: UNAUTHENTICATED: .*--token/);
    const missing = await runCli('fleetlora', ['devices', '--url', url, '--data-folder', t.testdir()]);
    t.match(missing.stderr, /^fleetlora: UNAUTHENTICATED: /);
  });

  await t.test('an unknown name is told: code 1', async (t) => {
    const { code, stderr } = await runCli('fleetlora', ['search', 'front', 'nobody'], at);
    t.equal(code, 1);
    t.match(stderr, /^fleetlora: NOT_FOUND: .*nobody/);
  });

  await t.test('rows: good ones are imported once, a broken line is named and nothing is kept', async (t) => {
    const folder = t.testdir();
    const good = join(folder, 'good.jsonl');
    const broken = join(folder, 'broken.jsonl');
    await writeFile(good, '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n');
    await writeFile(broken, '{"prompt": "a", "completion": "b"}\n{"prompt": "c"\n');
    const first = await runCli('fleetlora', ['dataset', 'import', good, '--json'], at);
    const again = await runCli('fleetlora', ['dataset', 'import', good, '--json'], at);
    t.match(JSON.parse(first.stdout), { name: 'good', rows: 2 });
    t.strictSame(JSON.parse(again.stdout), JSON.parse(first.stdout));
    const refused = await runCli('fleetlora', ['dataset', 'import', broken], at);
    t.equal(refused.code, 1);
    t.match(refused.stderr, /^fleetlora: DATA_LINE: .*line 2/);
    const listed = JSON.parse(
      (await runCli('fleetlora', ['dataset', 'list', '--json'], at)).stdout,
    ) as Dataset[];
    t.strictSame(
      listed.map(({ name }) => name),
      ['good'],
    );
  });

  await t.test('a truncated model is refused and nothing is kept', async (t) => {
    const folder = t.testdir();
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json'])
      await copyFile(join(checkout, 'deploy', 'demo', 'base', file), join(folder, file));
    await truncate(join(folder, 'model.safetensors'), 14_000_000);
    const refused = await runCli('fleetlora', ['base', 'import', folder, '--name', 'cut'], at);
    t.equal(refused.code, 1);
    t.match(refused.stderr, /fleetlora: SAFETENSORS_TRUNCATED: /);
    t.strictSame(JSON.parse((await runCli('fleetlora', ['base', 'list', '--json'], at)).stdout), []);
    const missing = await runCli('fleetlora', ['base', 'import', join(folder, 'nowhere')], at);
    t.match(missing.stderr, /^fleetlora: NOT_FOUND: .*nowhere cannot be read/);
  });

  await t.test('a second coordinator on the same folder, port or on another address: code 1', async (t) => {
    const port = new URL(url).port;
    const up = (folder: string, ...args: string[]) =>
      runCli('fleetlora', ['up', '--data', folder, '--mqtt-port', '0', '--log', 'silent', ...args]);
    const [sameFolder, samePort, elsewhere] = await Promise.all([
      up(data, '--port', '0'),
      up(join(t.testdir(), 'other'), '--port', port),
      up(join(t.testdir(), 'third'), '--port', '0', '--host', '0.0.0.0'),
    ]);
    t.match(sameFolder, { code: 1, stderr: /^fleetlora: FOLDER_IN_USE: / });
    t.match(samePort, { code: 1, stderr: new RegExp(`^fleetlora: PORT_IN_USE: .*${port}.*--port`) });
    t.match(elsewhere, { code: 1, stderr: /^fleetlora: NOT_LOOPBACK: .*0\.0\.0\.0/ });
  });

  await t.test('SIGTERM ends it in order, with code 0', async (t) => {
    t.equal(await end(), 0);
    await t.rejects(access(join(data, 'endpoint.json')), { code: 'ENOENT' });
    t.match(await readFile(join(data, 'admin-token'), 'utf8'), /^fla_/, 'the token stays for the next start');
  });
});

t.test('Node too old: the door says so before it does anything', async (t) => {
  const { spawn } = await import('node:child_process');
  const pretend =
    'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.18.3"}})';
  for (const script of ['deploy/run.mjs', 'coordinator/dist/cli/main.js', 'agent/dist/cli/main.js']) {
    const child = spawn(process.execPath, ['--import', pretend, join(checkout, script), 'demo']);
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    await once(child, 'close');
    t.equal(child.exitCode, 1, script);
    t.match(stderr, /NODE_TOO_OLD: this is Node.js 20\.18\.3, .*20\.19\.0 or newer/);
  }
});
