import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { startAgent } from '@fleetlora/agent';
import { openDataFolder } from '@fleetlora/agent/folder';
import { enrollDevice } from '@fleetlora/agent/identity';
import type { MeasureJob } from '@fleetlora/shared/protocol';
import { encodeGenome, uniformGenome } from '@fleetlora/shared/space';
import t from 'tap';
import { startFakeCoordinator } from '../lib/fake-coordinator.js';
import { type LaidModel, layTinyModel } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';
import { testFacts } from '../lib/test-device.js';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const jobOf = (model: LaidModel, number: number): MeasureJob => ({
  jobId: `job_${String(number).padStart(10, '0')}`,
  genome: encodeGenome(uniformGenome(2, 2, 8, 'unmerged')),
  baseDigest: model.baseDigest,
  adapterDigest: model.adapterDigest,
  plan: { promptTokens: 4, kvTokens: 4, prefillRepeats: 1, decodeRepeats: 1, threads: 1 },
  timeoutMs: 60_000,
});

t.test('an agent that keeps at most 1 byte: the files of a job stay for it and go after it', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const data = join(await tempFolder(t), 'agent');
  const folder = await openDataFolder(data);
  await enrollDevice(folder, { url: coordinator.url, code: 'CODE-1', facts: testFacts });
  const models = [await layTinyModel(), await layTinyModel({ positions: 48 })] as const;
  for (const { base, adapter, tokenizer } of models)
    for (const blob of [base, adapter, tokenizer]) coordinator.addBlob(blob);
  const start = () =>
    startAgent(
      {
        dataFolder: data,
        servePort: 0,
        serveThreads: 1,
        contentLimitBytes: 1,
        coolWaitSeconds: 0,
        quietWaitSeconds: 0,
        logLevel: 'silent',
      },
      quiet,
    );
  const agent = await start();
  t.teardown(() => agent.stop());
  await coordinator.next('birth');
  const content = async (): Promise<string[]> => (await readdir(folder.content)).sort();

  /** As if the last job had been a minute ago: what was used in the last second counts as in use. */
  const letTimePass = async (): Promise<void> => {
    const time = new Date(Date.now() - 60_000);
    for (const digest of await content()) await utimes(join(folder.content, digest), time, time);
  };

  const [first, second] = models;
  await coordinator.send('job', jobOf(first, 1));
  t.match(await coordinator.next('result'), { body: { outcome: 'measured' } });
  t.same(await content(), [first.baseDigest, first.adapterDigest].sort(), 'nothing else wanted room');
  await letTimePass();
  await coordinator.send('job', jobOf(second, 2));
  t.match(await coordinator.next('result'), { body: { outcome: 'measured' } });
  // The first base answered completions until the second one was here.
  t.same(
    await content(),
    [first.baseDigest, second.baseDigest, second.adapterDigest].sort(),
    'the first job is over',
  );
  await letTimePass();
  await coordinator.send('job', jobOf(first, 3));
  t.match(await coordinator.next('result'), { body: { outcome: 'measured' } });
  t.same(
    await content(),
    [first.baseDigest, first.adapterDigest, second.baseDigest].sort(),
    'its adapter was fetched once more',
  );
});
