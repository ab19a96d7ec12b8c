import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Code, enrolmentBytes } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { spawnCli } from '../lib/run-cli.js';
import { temporaryFolder } from '../lib/running-coordinator.js';
import { makeTestKey, testFacts } from '../lib/test-device.js';

// Four processes start here, each loading the whole service: seconds on a machine that is busy.
t.setTimeout(120_000);

const mainFile = fileURLToPath(new URL('main.js', import.meta.resolve('@fleetlora/coordinator')));
interface Ready {
  readonly url: string;
  readonly adminToken: string | null;
}

/** The published process; `ready` resolves to its ready line. */
function launch(
  t: Test,
  folder: string,
): { child: ChildProcess; ready: Promise<Ready>; complaint: () => string } {
  const options = ['--data', folder, '--port', '0', '--mqtt-port', '0', '--ready-json', '--log', 'error'];
  const child = spawn(process.execPath, [mainFile, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const ready = new Promise<Ready>((resolve, reject) => {
    createInterface(child.stdout).once('line', (line) => resolve(JSON.parse(line) as Ready));
    child.once('close', () => reject(new Error(`ended before it was ready: ${complaint}`)));
  });
  ready.catch(() => {});
  return { child, ready, complaint: () => complaint };
}

t.test(
  'kill -9 loses nothing that was answered and frees the folder; SIGTERM ends with 0',
  { timeout: 120_000 },
  async (t) => {
    const folder = await temporaryFolder(t);
    const first = launch(t, folder);
    const { url, adminToken } = await first.ready;
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
    const response = await fetch(`${url}/v1/codes`, {
      method: 'POST',
      headers,
      body: '{"deviceClass":"board"}',
    });
    const { code } = (await response.json()) as Code;

    const refused = launch(t, folder);
    const [exitCode] = await once(refused.child, 'close');
    t.equal(exitCode, 1);
    t.match(refused.complaint(), new RegExp(`^FOLDER_IN_USE: .*process ${first.child.pid}`));

    first.child.kill('SIGKILL');
    await once(first.child, 'close');
    const second = launch(t, folder);
    const again = await second.ready;
    t.equal(again.adminToken, null);
    const { publicKey, sign } = makeTestKey();
    const proof = sign(enrolmentBytes(code, publicKey));
    const body = JSON.stringify({ code, publicKey, proof, facts: testFacts });
    const enroll = await fetch(`${again.url}/v1/enroll`, { method: 'POST', headers, body });
    t.match(await enroll.json(), { deviceClass: 'board' }, 'the code is still good');
    t.equal((await fetch(`${again.url}/v1/devices`, { headers })).status, 200, 'the token is still good');
    second.child.kill('SIGTERM');
    t.same(await once(second.child, 'close'), [0, null]);
  },
);

for (const program of ['main.js', 'fleetlora up'] as const)
  t.test(`SIGTERM ends a start of ${program} that waits for a database that is away`, async (t) => {
    const options = ['--data', await temporaryFolder(t), '--port', '0', '--mqtt-port', '0'];
    const env = { DATABASE_URL: 'postgres://user:secret@127.0.0.1:1/none' };
    const isUp = program === 'fleetlora up';
    const child = isUp
      ? spawnCli('fleetlora', ['up', ...options], env)
      : spawn(process.execPath, [mainFile, ...options], { env: { ...process.env, ...env }, stdio: 'pipe' });
    t.teardown(() => child.kill('SIGKILL'));
    const closed = once(child, 'close');
    // It holds the folder by then, and next asks for the database, for 30 s.
    while (!existsSync(join(options[1] ?? '', 'incoming'))) await new Promise((next) => setTimeout(next, 20));
    const sinceMs = performance.now();
    child.kill('SIGTERM');
    t.same(await closed, [isUp ? 143 : 0, null]);
    t.comment(`ended after ${Math.round(performance.now() - sinceMs)} ms`);
  });

t.test('bad usage ends with 2', async (t) => {
  const child = spawn(process.execPath, [mainFile, '--port', 'x'], { stdio: 'ignore' });
  t.same(await once(child, 'close'), [2, null]);
});
