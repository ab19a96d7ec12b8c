import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fetchedFolder, runTool } from '@fleetlora/bench/lib/fetched-programs';
import t from 'tap';

const name = `test-${process.pid}`;
t.teardown(() => rmSync(dirname(fetchedFolder(name, () => {})), { recursive: true, force: true }));

t.test('programs that cannot be fetched leave nothing; the next try makes them, once', async (t) => {
  t.throws(
    () =>
      fetchedFolder(name, (work, made) => {
        writeFileSync(join(made, 'program'), 'half');
        runTool('sh', ['-c', 'echo no such package >&2; exit 100'], work);
      }),
    { code: 'CHILD_FAILED', message: 'sh -c: no such package' },
  );
  let times = 0;
  const make = (_work: string, made: string): void => {
    times++;
    writeFileSync(join(made, 'program'), 'whole');
  };
  const folder = fetchedFolder(name, make);
  t.equal(readFileSync(join(folder, 'program'), 'utf8'), 'whole');
  t.equal(fetchedFolder(name, make), folder);
  t.equal(times, 1);
  t.same(readdirSync(dirname(folder)), ['root'], 'nothing of the failed try is left');
  t.ok(existsSync(folder));
});

t.test('a program that is not there is told by name', async (t) => {
  t.throws(() => runTool('no-such-program-here', [], '/'), {
    code: 'CHILD_FAILED',
    message: /^no-such-program-here: /,
  });
});
