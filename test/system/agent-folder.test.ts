import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import { mountSmallDisk } from '@fleetlora/bench/lib/small-disk';
import type { MeasureJob } from '@fleetlora/shared/protocol';
import { encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import { MiB } from '@fleetlora/shared/units';
import t from 'tap';
import { openEnrolledDevice, runAgentCommand, startAgentProcess } from '../lib/agent-process.js';
import type { LaidModel } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';

const noMounts = enterOwnMounts() ?? false;
t.setTimeout(120_000);

const jobOf = (model: LaidModel): MeasureJob => ({
  jobId: 'job_0000000001',
  genome: encodeGenome(uniformGenome(2, 2, 8, 'unmerged')),
  baseDigest: model.baseDigest,
  adapterDigest: model.adapterDigest,
  plan: { promptTokens: 8, kvTokens: 8, prefillRepeats: 2, decodeRepeats: 2, threads: 1 },
  timeoutMs: 60_000,
});
async function until<T>(ask: () => Promise<T>, isDone: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isDone(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

t.test('a second agent is refused by name until the first is gone, also after kill -9', async (t) => {
  const { coordinator, data } = await openEnrolledDevice(t);
  const first = await startAgentProcess(t, data);
  await coordinator.next('birth');
  const runAgain = ['run', '--data', data, '--serve-port', '0'];
  const refusal = (pid: number | undefined) => ({
    code: 1,
    stdout: '',
    stderr: new RegExp(`FOLDER_IN_USE: ${data} is used by the agent with process id ${pid}; stop it`),
  });
  t.match(await runAgentCommand(runAgain), refusal(first.child.pid));
  t.equal(first.child.exitCode, null, 'the first one goes on');
  await first.kill();

  const second = await startAgentProcess(t, data);
  t.match(await coordinator.next('birth'), { session: 2 });
  t.match(await runAgentCommand(runAgain), refusal(second.child.pid));
  second.child.kill('SIGTERM');
  t.same(await once(second.child, 'exit'), [0, null]);
  t.same(await readdir(join(data, 'lock')), [], 'a clean stop leaves no holder');
});

t.test('of four that start at once after a kill -9, one runs and three name it', async (t) => {
  const { data } = await openEnrolledDevice(t);
  await (await startAgentProcess(t, data)).kill();
  const starts = await Promise.allSettled([1, 2, 3, 4].map(() => startAgentProcess(t, data)));
  const running = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  t.equal(running.length, 1);
  t.match(await runAgentCommand(['run', '--data', data, '--serve-port', '0']), {
    code: 1,
    stderr: new RegExp(`FOLDER_IN_USE: .* process id ${running[0]?.child.pid};`),
  });
});

t.test(
  'a result that waits in memory for space: its job is held; after kill -9 it is measured again',
  { skip: noMounts },
  async (t) => {
    const disk = await mountSmallDisk(join(await tempFolder(t), 'disk'), 8 * MiB);
    t.teardown(() => disk.unmount());
    const { coordinator, data, model } = await openEnrolledDevice(t, join(disk.folder, 'agent'));
    coordinator.acknowledges = false;
    const first = await startAgentProcess(t, data);
    await coordinator.next('birth');
    // Its files are here already, so that its result alone is to be written.
    await coordinator.send('job', { ...jobOf(model), jobId: 'job_0000000000' });
    const { id } = await coordinator.next('result');
    await coordinator.acknowledge(id);
    await until(
      () => readdir(join(data, 'outbox')),
      (names) => names.length === 0,
    );
    await disk.fill();

    await coordinator.send('job', jobOf(model));
    t.match(
      (await coordinator.next('result')).body,
      { jobId: 'job_0000000001', outcome: 'measured' },
      'sent from memory',
    );
    t.match(first.log(), /"code":"DISK_FULL","msg":"cannot write .*outbox.*; waiting for space"/);
    const status = await runAgentCommand(['status', '--data', data, '--json']);
    t.match(JSON.parse(status.stdout), {
      runningJobId: 'job_0000000001',
      waitingForSpace: /cannot write .*outbox/,
    });
    t.match((await runAgentCommand(['status', '--data', data])).stdout, /^disk +cannot write .*outbox/m);
    coordinator.cut();
    t.match(await coordinator.next('birth'), { body: { heldJobIds: ['job_0000000001'] } });
    t.same(await readdir(join(data, 'outbox')), []);

    await first.kill();
    await disk.empty();
    await startAgentProcess(t, data);
    t.match(
      await coordinator.next('birth'),
      { body: { heldJobIds: [] } },
      'so the coordinator sends it again',
    );
  },
);

t.test(
  'an agent that is started on a full disk says so, and runs once there is space',
  { skip: noMounts },
  async (t) => {
    const disk = await mountSmallDisk(join(await tempFolder(t), 'disk'), 8 * MiB);
    t.teardown(() => disk.unmount());
    const { data } = await openEnrolledDevice(t, join(disk.folder, 'agent'));
    await disk.fill();
    const refused = await runAgentCommand(['run', '--data', data, '--serve-port', '0']);
    t.match(refused, {
      code: 1,
      stderr: new RegExp(`DISK_FULL: cannot write the lock to ${data}/lock/.*: the disk is full`),
    });
    t.same(await readdir(join(data, 'lock')), []);
    await disk.empty();
    const { serveUrl } = await startAgentProcess(t, data);
    t.match(JSON.parse(await readFile(join(data, 'endpoint.json'), 'utf8')), { url: serveUrl });
  },
);
