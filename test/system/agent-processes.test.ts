import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPackage, expandPackage, generateGreedy, openDecoder } from '@fleetlora/shared/engine';
import { createNodeRuntime } from '@fleetlora/shared/node';
import type { CompletionResponse, MeasureJob, ReleaseManifest } from '@fleetlora/shared/protocol';
import { decodeGenome, encodeGenome, type Form, uniformGenome } from '@fleetlora/shared/space';
import { bufferSource, readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';
import { openEnrolledDevice, runAgentCommand, startAgentProcess } from '../lib/agent-process.js';
import { type FakeCoordinator, startFakeCoordinator } from '../lib/fake-coordinator.js';
import { digestOf, type LaidModel } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';

const genome = (form: Form): string => encodeGenome(uniformGenome(2, 2, 8, form));
const jobOf = (model: LaidModel, number: number): MeasureJob => ({
  jobId: `job_${String(number).padStart(10, '0')}`,
  genome: genome('unmerged'),
  baseDigest: model.baseDigest,
  adapterDigest: model.adapterDigest,
  plan: { promptTokens: 8, kvTokens: 8, prefillRepeats: 2, decodeRepeats: 2, threads: 1 },
  timeoutMs: 60_000,
});
const complete = async (serveUrl: string): Promise<CompletionResponse> => {
  const body = JSON.stringify({ prompt: 'ab', max_tokens: 6 });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${serveUrl}/v1/completions`, { method: 'POST', headers, body });
  return (await response.json()) as CompletionResponse;
};

t.test('the command enrols: the key stays on the device, readable by its owner alone', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const data = join(await tempFolder(t), 'agent');
  const enroll = await runAgentCommand([
    'enroll',
    coordinator.url,
    'CODE-1',
    '--data',
    data,
    '--name',
    'board',
    '--json',
  ]);
  t.equal(enroll.code, 0, enroll.stderr);
  t.match(JSON.parse(enroll.stdout), { deviceId: 'dev_0123456789', deviceClass: 'test', dataFolder: data });
  for (const name of ['device-key.pem', 'device.json'])
    t.equal((await stat(join(data, name))).mode & 0o777, 0o600, name);
  t.equal((await stat(data)).mode & 0o777, 0o700);
});

t.test('a job is measured, and survives kill -9 between its result and the acknowledgement', async (t) => {
  const { coordinator, data, model } = await openEnrolledDevice(t);
  coordinator.acknowledges = false;
  const first = await startAgentProcess(t, data);
  t.match(await coordinator.next('birth'), {
    session: 1,
    body: { heldJobIds: [], serveUrl: first.serveUrl },
  });
  await coordinator.send('job', jobOf(model, 1));
  const result = await coordinator.next('result');
  t.match(result.body, { jobId: 'job_0000000001', outcome: 'measured' });
  t.match((await complete(first.serveUrl)).model, /^base-[0-9a-f]{12}$/, 'the base answers once it is here');

  const second = await runAgentCommand(['run', '--data', data, '--serve-port', '0']);
  t.match(second, { code: 1, stderr: new RegExp(`FOLDER_IN_USE: .*${first.child.pid}`) });
  const ended = once(first.child, 'exit');
  first.child.kill('SIGKILL');
  await ended;
  t.equal((await coordinator.next('death')).session, 1, 'the will');

  await startAgentProcess(t, data);
  t.match(await coordinator.next('birth'), { session: 2, body: { heldJobIds: ['job_0000000001'] } });
  const again = await coordinator.next('result');
  t.same([again.id, again.body], [result.id, result.body]);
  await coordinator.acknowledge(again.id);
  while ((await readdir(join(data, 'outbox'))).length > 0) await new Promise(setImmediate);
  // The files were kept: the base and the super-adapter were asked for once.
  const asked = coordinator.requests.filter(({ path }) => path.endsWith(model.baseDigest)).length;
  t.equal(asked, 1);
});

t.test('an agent killed while it measures is given the job again', async (t) => {
  const { coordinator, data, model } = await openEnrolledDevice(t);
  const first = await startAgentProcess(t, data);
  await coordinator.next('birth');
  // Long enough to be killed in: it never ends by itself.
  const plan = { ...jobOf(model, 1).plan, decodeRepeats: 1024, prefillRepeats: 1024 };
  await coordinator.send('job', { ...jobOf(model, 1), plan });
  const scratch = join(data, 'scratch', 'job_0000000001');
  while (!(await stat(scratch).catch(() => null))) await new Promise(setImmediate);
  const ended = once(first.child, 'exit');
  first.child.kill('SIGKILL');
  await ended;
  const second = await startAgentProcess(t, data);
  const births = [await coordinator.next('birth')];
  t.same(births[0]?.body.heldJobIds, [], 'it does not hold the job');
  t.same(await readdir(join(data, 'scratch')), []);
  await coordinator.send('job', jobOf(model, 1));
  t.match((await coordinator.next('result')).body, { jobId: 'job_0000000001', outcome: 'measured' });
  second.child.kill('SIGTERM');
  const [code] = await once(second.child, 'exit');
  t.equal(code, 0);
});

/** A release of the tiny model with true golden prompts. */
async function createRelease(coordinator: FakeCoordinator, model: LaidModel, number: number, form: Form) {
  const runtime = createNodeRuntime();
  const open = (bytes: Uint8Array) => readTensorFile(bufferSource(bytes));
  const packed = await buildPackage(runtime, {
    base: await open(model.base),
    adapter: await open(model.adapter),
    genome: decodeGenome(genome(form)),
    baseDigest: model.baseDigest,
    adapterDigest: model.adapterDigest,
  });
  const packageDigest = coordinator.addBlob(packed);
  const expanded = await expandPackage(await open(packed));
  const folder = await mkdtemp(join(tmpdir(), 'fleetlora-release-'));
  await writeFile(join(folder, 'base'), model.base);
  await writeFile(join(folder, 'expanded'), expanded);
  const decoder = await openDecoder(
    runtime,
    {
      folder,
      base: { fileName: 'base', file: await open(model.base) },
      overlay: { fileName: 'expanded', file: await open(expanded) },
      genome: decodeGenome(genome(form)),
    },
    { threads: 1, positions: 64 },
  );
  const expectedIds: number[] = [];
  for await (const id of generateGreedy(decoder, [98, 99], { maxTokens: 6, stopIds: [0] }))
    expectedIds.push(id);
  await decoder.close();
  await rm(folder, { recursive: true });
  const manifest: ReleaseManifest = {
    version: 1,
    releaseId: `rel_${String(number).padStart(10, '0')}`,
    number,
    name: `release-${number}`,
    createdAtMs: 0,
    genome: genome(form),
    baseDigest: model.baseDigest,
    tokenizerDigest: model.tokenizerDigest,
    packageDigest,
    packageBytes: packed.length,
    stopIds: [0],
    golden: [{ text: 'ab', promptIds: [98, 99], expectedIds }],
  };
  return manifest;
}
const desiredOf = (manifest: ReleaseManifest, manifestDigest: string) => ({
  rolloutId: `rol_${manifest.releaseId.slice(4)}`,
  releaseId: manifest.releaseId,
  manifestDigest,
});

t.test(
  'a release is installed and served, a worse one is refused, and a restart serves it again',
  async (t) => {
    const { coordinator, data, model } = await openEnrolledDevice(t);
    const { child, serveUrl } = await startAgentProcess(t, data);
    await coordinator.next('birth');
    t.match(await complete(serveUrl), { error: { code: 'NOTHING_INSTALLED' } });
    const nextEnd = async () => {
      for (;;) {
        const { body } = await coordinator.next('report');
        if (['succeeded', 'failed', 'rejected'].includes(body.state)) return body;
      }
    };

    const good = await createRelease(coordinator, model, 1, 'merged');
    await coordinator.send('desired', desiredOf(good, coordinator.signManifest(good)));
    t.match(await nextEnd(), { state: 'succeeded', healthy: 1, checked: 1 });
    t.match(await coordinator.next('birth'), { body: { installedReleaseId: good.releaseId } });
    const answer = await complete(serveUrl);
    t.equal(answer.model, 'release-1');

    const sick = await createRelease(coordinator, model, 2, 'unmerged');
    const wrong = sick.golden.map((prompt) => ({
      ...prompt,
      expectedIds: prompt.expectedIds.map((id) => (id + 1) % 257),
    }));
    await coordinator.send('desired', desiredOf(sick, coordinator.signManifest({ ...sick, golden: wrong })));
    t.match(await nextEnd(), { state: 'failed', healthy: 0, checked: 1, reason: /^proving: / });

    const forged = { ...sick, releaseId: 'rel_0000000003', number: 3 };
    const stranger = await startFakeCoordinator(t);
    stranger.signManifest(forged);
    const [signed = new Uint8Array()] = stranger.blobs.values();
    await coordinator.send('desired', desiredOf(forged, coordinator.addBlob(signed)));
    t.match(await nextEnd(), { state: 'rejected', reason: /release key pinned at enrolment/ });

    const other = { ...sick, releaseId: 'rel_0000000004', number: 4, genome: genome('merged') };
    await coordinator.send('desired', desiredOf(other, coordinator.signManifest(other)));
    t.match(await nextEnd(), { state: 'rejected', reason: /^verifying: .*genome/ });

    t.equal(
      (await complete(serveUrl)).choices[0]?.text,
      answer.choices[0]?.text,
      'the old one still answers',
    );
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    const again = await startAgentProcess(t, data);
    const later = await complete(again.serveUrl);
    t.same([later.model, later.choices], ['release-1', answer.choices]);
    const kept = await readdir(join(data, 'content'));
    for (const name of kept)
      t.equal(digestOf(await readFile(join(data, 'content', name))), name, 'content is what its name says');
    const record = JSON.parse(await readFile(join(data, 'install.json'), 'utf8')) as {
      installed: { expandedDigest: string };
    };
    t.ok(kept.includes(record.installed.expandedDigest));
    t.notOk(kept.includes(good.packageDigest), 'the package is gone, its expanded form stays');
    const status = await runAgentCommand(['status', '--data', data]);
    t.match(status, { code: 0, stdout: /release +release-1 \(number 1/ });
  },
);
