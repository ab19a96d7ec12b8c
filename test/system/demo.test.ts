import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { runCli, spawnCli, waitForOutput } from '../lib/run-cli.js';

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  t.test(`${signal} in the middle of the demo: exit code ${code}, no process and no file left`, async (t) => {
    const temporary = join(t.testdir(), 'tmp');
    await mkdir(temporary);
    const child = spawnCli('fleetlora', ['demo'], { TMPDIR: temporary });
    const [, pid = ''] = await waitForOutput(child, /coordinator +http:\S+, process (\d+)[\s\S]*\nsearch /);
    t.ok(isAlive(Number(pid)));
    child.kill(signal);
    await once(child, 'exit');
    t.equal(child.exitCode, code);
    t.notOk(isAlive(Number(pid)), 'the coordinator is gone');
    t.strictSame(
      (await readdir(temporary)).filter((name) => name.startsWith('fleetlora-')),
      [],
    );
  });
}

t.test('a demo that cannot go on says why, and leaves nothing', async (t) => {
  const temporary = join(t.testdir(), 'tmp');
  await mkdir(temporary);
  const { code, stderr } = await runCli('fleetlora', ['demo', '--adapter', '/nowhere'], {
    TMPDIR: temporary,
  });
  t.equal(code, 1);
  t.match(stderr, /^fleetlora: NOT_FOUND: \/nowhere is missing: .*--train/m);
  t.strictSame(
    (await readdir(temporary)).filter((name) => name.startsWith('fleetlora-')),
    [],
  );
});

t.test('bad usage of the demo is told before anything starts', async (t) => {
  const cases = [
    ['--trials', '7'],
    ['--train', '0'],
    ['--report', '/nowhere/report.json'],
    ['--train', '--data', 'x.jsonl'],
  ];
  const results = await Promise.all(cases.map((args) => runCli('fleetlora', ['demo', ...args])));
  for (const [index, { code, stdout, stderr }] of results.entries()) {
    t.equal(code, 2, `demo ${cases[index]?.join(' ')}`);
    t.equal(stdout, '');
    t.match(stderr, /^fleetlora: BAD_USAGE: /);
  }
});
