import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { lockFolder, openDataFolder, readBootId } from '@fleetlora/agent/folder';
import { DeviceReport, parseAs } from '@fleetlora/shared/protocol';
import t from 'tap';
import { openEnrolledDevice, runAgentCommand } from '../lib/agent-process.js';
import { spawnCli, waitForOutput } from '../lib/run-cli.js';
import { tempFolder } from '../lib/temp-folder.js';

/** A word of its own in a text: the host "vm" is not in "vmhwm", nor the user "root" in "roots". */
function holdsWord(text: string, word: string): boolean {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w-])${escaped}(?![\\w-])`).test(text);
}

/** Every field name and every text in a JSON value. */
function listWords(value: unknown): { fields: string[]; texts: string[] } {
  const fields = new Set<string>();
  const texts = new Set<string>();
  JSON.stringify(value, (field, inner: unknown) => {
    if (field !== '') fields.add(field);
    if (typeof inner === 'string') texts.add(inner);
    return inner;
  });
  return { fields: [...fields], texts: [...texts] };
}

t.test('report --quick of an enrolled device: a file that names neither it nor anyone', async (t) => {
  const { coordinator, data } = await openEnrolledDevice(
    t,
    join(await tempFolder(t), 'alice-secret', 'agent'),
  );
  const out = join(await tempFolder(t), 'report.json');
  const { code, stdout, stderr } = await runAgentCommand(['report', '--quick', '--data', data, '--out', out]);
  t.equal(code, 0, stderr);

  const text = await readFile(out, 'utf8');
  const report = parseAs(DeviceReport, JSON.parse(text), 'report');
  t.equal(report.benchmark[0]?.threads, 1);
  for (const { result, threads } of report.benchmark) {
    if ('infeasible' in result) return t.fail(result.infeasible);
    t.equal(result.plan.threads, threads);
    t.equal(result.sustained && result.sustained.seconds > 0, true);
    t.ok(result.flags?.includes('fewSessions'));
  }

  const device = JSON.parse(await readFile(join(data, 'device.json'), 'utf8')) as Record<string, string>;
  const known = [
    ...Object.values(device).map(String),
    new URL(coordinator.url).host,
    await readFile(join(data, 'device-key.pem'), 'utf8').then((pem) => pem.split('\n')[1] ?? ''),
    await readBootId(),
    await readFile('/etc/machine-id', 'utf8').then(
      (id) => id.trim(),
      () => '',
    ),
    hostname(),
    userInfo().username,
    homedir(),
    data,
    'alice-secret',
    out,
  ].filter((word) => word.length >= 3);
  t.ok(known.length >= 10, 'there is something to look for');
  const { fields, texts } = listWords(report);
  t.ok(texts.includes('onnxruntime-node 1.30.0'), 'texts are looked at');
  for (const word of known)
    t.strictSame(
      [...fields, ...texts].filter((told) => holdsWord(told, word)),
      [],
      `not "${word}"`,
    );
  for (const [what, pattern] of [
    ['id of ours', /\b[a-z]{2,5}_[0-9a-z]{20,}\b/],
    ['UUID', /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-/i],
    ['digest', /\b[0-9a-f]{32,}\b/i],
    ['MAC address', /\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/i],
    ['IP address', /\b\d{1,3}(?:\.\d{1,3}){3}\b/],
    ['URL', /:\/\//],
    ['path', /(?:^|[\s"])[/~]\w/],
  ] as const)
    t.strictSame(
      texts.filter((told) => pattern.test(told)),
      [],
      `no ${what}`,
    );
  t.strictSame(
    fields.filter((field) => /host|serial|device|user|secret|token$|address|url|path|id$/i.test(field)),
    ['joulesPerToken'].filter((field) => fields.includes(field)),
    'no field for a name',
  );

  t.match(stdout, /^Machine\n {2}processor .*\n/);
  t.match(stdout, /\nSteadiness\n {2}work +the same work 2 times, 1 thread \(standard-1\)\n/);
  t.match(stdout, /\nStandard benchmark: standard-1.*\n +1 thread/);
  t.match(stdout, /\n {2}a token, cache 256 +\d/);
  t.match(stdout, /\n! quick: /);
  t.match(stdout, /\n! fewSessions: /, 'a flag of all parts names none');
  t.match(stderr, /^looking at the machine\nmaking the standard model\nqualification: run 1 of 2\n/);
  t.ok(stderr.includes(`${out} (`), 'where it is');
  t.same(await readdir(join(data, 'scratch')), [], 'nothing of the standard model stays');
  t.notOk((await readdir(data)).includes('qualification.json'), 'a quick one is no qualification');
});

t.test('report and qualify: what is refused before minutes are spent', async (t) => {
  const folder = await tempFolder(t);
  const data = join(folder, 'agent');
  await mkdir(join(folder, 'taken'));
  const report = (...args: string[]) => runAgentCommand(['report', '--quick', '--data', data, ...args]);
  t.match(await report('--out', join(folder, 'taken')), {
    code: 2,
    stderr: /BAD_USAGE: --out .* is a folder/,
  });
  t.match(await report('--out', join(folder, 'none', 'x.json')), {
    code: 2,
    stderr: /is not there or cannot/,
  });
  const qualify = (...args: string[]) => runAgentCommand(['qualify', '--data', data, ...args]);
  t.match(await qualify('--runs', '1'), { code: 2, stderr: /--runs 1 .* 2 to 32/ });
  t.match(await qualify('--runs', '33'), { code: 2, stderr: /--runs 33/ });
  t.match(await qualify('--pause', '601'), { code: 2, stderr: /--pause 601/ });
  t.match(await qualify('--quiet-wait', 'long'), { code: 2, stderr: /--quiet-wait long/ });

  const lock = await lockFolder((await openDataFolder(data)).lock);
  const busy = {
    code: 1,
    stderr: new RegExp(`FOLDER_IN_USE: the agent with process id ${process.pid} .*stop it`),
  };
  t.match(await qualify(), busy);
  t.match(await report('--json'), busy);
  await lock.release();
});

t.test('a report that is stopped leaves no file and no lock behind', async (t) => {
  const data = join(await tempFolder(t), 'agent');
  const child = spawnCli('fleetlora-agent', ['report', '--data', data, '--json']);
  await waitForOutput(child, /qualification: run 1/);
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += String(chunk);
  });
  const ended = once(child, 'close');
  child.kill('SIGTERM');
  t.strictSame(await ended, [1, null]);
  t.match(said, /CHILD_FAILED: canceled/);
  t.same(await readdir(join(data, 'scratch')), []);
  t.same(await readdir(join(data, 'lock')), []);
});
