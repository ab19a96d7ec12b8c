import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openOutbox } from '@fleetlora/agent/link';
import { type JobResult, limits } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { tempFolder } from '../lib/temp-folder.js';
import { createTestIds } from '../lib/test-ids.js';

const failed = (jobId: string): JobResult => ({ jobId, outcome: 'failed', reason: 'no file' });

t.test('a message is on disk when add resolves, and another process finds it', async (t) => {
  const folder = await tempFolder(t);
  const first = await openOutbox({ folder, newId: createTestIds() });
  const added = await first.add('result', failed('job_0123456789'));
  // Killed here: nothing more is told to `first`.
  const second = await openOutbox({ folder, newId: createTestIds() });
  t.same(second.entries(), [added]);
});

t.test('only an acknowledgement removes a message, and a second one is harmless', async (t) => {
  const folder = await tempFolder(t);
  const outbox = await openOutbox({ folder, newId: createTestIds() });
  const { id } = await outbox.add('result', failed('job_0123456789'));
  t.equal(await outbox.acknowledge('msg_of_nobody'), false);
  t.equal(outbox.entries().length, 1);
  t.equal(await outbox.acknowledge(id), true);
  t.equal(await outbox.acknowledge(id), false);
  t.same(await readdir(folder), []);
});

t.test('order is kept over restarts', async (t) => {
  const folder = await tempFolder(t);
  const before = await openOutbox({ folder, newId: () => 'msg_z' });
  await before.add('result', failed('job_first00000'));
  const after = await openOutbox({ folder, newId: () => 'msg_a' });
  await after.add('result', failed('job_second0000'));
  const jobs = (await openOutbox({ folder, newId: createTestIds() }))
    .entries()
    .map((entry) => entry.kind === 'result' && entry.body.jobId);
  t.same(jobs, ['job_first00000', 'job_second0000']);
});

t.test('what a killed process was writing is no message, and a broken file is kept aside', async (t) => {
  const folder = await tempFolder(t);
  await writeFile(join(folder, '000000000001-msg_a.json.1b2c.part'), 'result\n{"v":1,');
  await writeFile(join(folder, '000000000002-msg_b.json'), 'result\n{"v":1,"id":"msg_b"}');
  const unreadable: string[] = [];
  const outbox = await openOutbox({
    folder,
    newId: createTestIds(),
    onUnreadable: (path) => void unreadable.push(path),
  });
  t.same(outbox.entries(), []);
  t.equal(unreadable.length, 1);
  t.same(await readdir(folder), ['000000000002-msg_b.json.unreadable']);
});

t.test('a message over 192 KiB is refused before anything is written', async (t) => {
  const folder = await tempFolder(t);
  const outbox = await openOutbox({ folder, newId: createTestIds() });
  const body = { ...failed('job_0123456789'), reason: 'x'.repeat(limits.upMessageBytes) } as JobResult;
  await t.rejects(outbox.add('result', body), coded('MESSAGE_TOO_LARGE', limits.upMessageBytes));
  t.same(await readdir(folder), []);
  t.same(outbox.entries(), []);
});
