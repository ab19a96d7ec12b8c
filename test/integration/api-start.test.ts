import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import {
  parseArguments,
  qualifyTimeOf,
  requireLoopback,
  requireNode,
  startCoordinator,
} from '@fleetlora/coordinator';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { runCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

const quiet = { host: '127.0.0.1', webPort: 0, mqttPort: 0, logLevel: 'silent' } as const;

/** A port that something else listens on. */
async function takenPort(t: Test): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as { port: number }).port;
}

t.test('the admin token is told at the first start alone, and stays good', async (t) => {
  const first = await runCoordinator(t);
  t.match(first.token, /^fla_[\w-]{43}$/);
  const file = join(first.folder, 'admin-token');
  t.equal(await readFile(file, 'utf8'), `${first.token}\n`);
  t.equal((await stat(file)).mode & 0o777, 0o600);
  t.equal((await stat(join(first.folder, 'secrets', 'release-key.pem'))).mode & 0o777, 0o600);
  t.notMatch(
    await readFile(join(first.folder, 'coordinator.db'), 'latin1'),
    first.token,
    'only its hash is stored',
  );
  t.match(JSON.parse(await readFile(join(first.folder, 'endpoint.json'), 'utf8')), {
    url: first.url,
    mqttUrl: first.mqttUrl,
    pid: process.pid,
  });
  await first.stop();
  await t.rejects(stat(join(first.folder, 'endpoint.json')), { code: 'ENOENT' });
  const again = await startCoordinator({ ...quiet, dataFolder: first.folder });
  t.teardown(() => again.stop());
  t.equal(again.adminToken, null);
  const headers = { authorization: `Bearer ${first.token}` };
  t.equal((await fetch(`${again.url}/v1/devices`, { headers })).status, 200);
  t.notMatch(JSON.stringify(first.log), first.token);
});

t.test('a port in use is named, and nothing is left running', async (t) => {
  const dataFolder = await temporaryFolder(t);
  const port = await takenPort(t);
  await t.rejects(
    startCoordinator({ ...quiet, dataFolder, webPort: port }),
    coded('PORT_IN_USE', 'web', port),
  );
  await t.rejects(
    startCoordinator({ ...quiet, dataFolder, mqttPort: port }),
    coded('PORT_IN_USE', 'MQTT', port),
  );
  const running = await startCoordinator({ ...quiet, dataFolder });
  await running.stop();
  t.pass('the folder is free again');
});

t.test('only loopback addresses are served', async (t) => {
  for (const host of ['127.0.0.1', '127.8.8.8', '::1', 'localhost'])
    t.doesNotThrow(() => requireLoopback(host), host);
  for (const host of [
    '0.0.0.0',
    '::',
    '192.168.1.5',
    'example.org',
    '128.0.0.1',
    '127.0.0.1.example.org',
    '',
  ])
    t.throws(() => requireLoopback(host), coded('NOT_LOOPBACK', host, 'TLS'), host);
  const dataFolder = await temporaryFolder(t);
  await t.rejects(
    startCoordinator({ ...quiet, dataFolder, host: '0.0.0.0' }),
    coded('NOT_LOOPBACK', '0.0.0.0'),
  );
});

t.test('Node 20.19.0 will do, 20.18.9 will not', async (t) => {
  for (const version of ['v20.19.0', 'v20.19.1', 'v20.20.0', 'v22.0.0', 'v100.0.0'])
    t.doesNotThrow(() => requireNode(version), version);
  for (const version of ['v20.18.9', 'v18.20.4', 'v9.99.99'])
    t.throws(() => requireNode(version), coded('NODE_TOO_OLD', version.slice(1), '20.19.0'), version);
});

t.test('a second coordinator on the same folder is refused, until the first one stops', async (t) => {
  const first = await runCoordinator(t);
  const second = () => startCoordinator({ ...quiet, dataFolder: first.folder });
  await t.rejects(second(), coded('FOLDER_IN_USE', first.folder, process.pid));
  await first.stop();
  await (await second()).stop();
});

t.test(
  'when devices are asked whether they are steady: the option, else the environment, else at birth',
  async (t) => {
    t.equal(qualifyTimeOf(undefined, {}), 'atBirth');
    t.equal(qualifyTimeOf(undefined, { FLEETLORA_QUALIFY: '' }), 'atBirth');
    t.equal(qualifyTimeOf(undefined, { FLEETLORA_QUALIFY: 'request' }), 'onRequest');
    t.equal(qualifyTimeOf('birth', { FLEETLORA_QUALIFY: 'request' }), 'atBirth');
    t.throws(
      () => qualifyTimeOf('constructor', {}),
      coded('BAD_USAGE', '--qualify constructor', 'birth, request'),
    );
    t.throws(
      () => qualifyTimeOf(undefined, { FLEETLORA_QUALIFY: 'no' }),
      coded('BAD_USAGE', 'FLEETLORA_QUALIFY no'),
    );
    t.match(parseArguments(['--qualify', 'request']), { qualify: 'onRequest' });
    t.match(parseArguments([], { FLEETLORA_QUALIFY: 'request' }), { qualify: 'onRequest' });
  },
);

t.test('arguments that do not fit', async (t) => {
  for (const argv of [
    ['--port', '65536'],
    ['--port', 'x'],
    ['--mqtt-port', '-1'],
    ['--log', 'loud'],
    ['--qualify', 'never'],
    ['--other'],
    ['extra'],
  ])
    t.throws(() => parseArguments(argv), coded('BAD_USAGE'), argv.join(' '));
  t.match(parseArguments(['--port', '65535', '--mqtt-port', '0', '--data', '/d']), {
    webPort: 65535,
    mqttPort: 0,
    dataFolder: '/d',
    host: '127.0.0.1',
  });
});
