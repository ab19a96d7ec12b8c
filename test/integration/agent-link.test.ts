import { EventEmitter, once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createSessionKeeper, loadOrCreateDeviceKey } from '@fleetlora/agent/identity';
import { type LinkHandlers, type LinkTiming, openLink, openOutbox } from '@fleetlora/agent/link';
import { systemClock } from '@fleetlora/shared/clock';
import { type Birth, downTopic, limits } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import t, { type Test } from 'tap';
import { type FakeCoordinator, startFakeCoordinator } from '../lib/fake-coordinator.js';
import { tempFolder } from '../lib/temp-folder.js';
import { testFacts } from '../lib/test-device.js';
import { createTestIds } from '../lib/test-ids.js';

const birthBody: Birth = { facts: testFacts, heldJobIds: [], installedReleaseId: null, serveUrl: null };
const failed = (jobId: string) => ({ jobId, outcome: 'failed', reason: 'no file' }) as const;

async function open(
  t: Test,
  coordinator: FakeCoordinator,
  given: { handlers?: Partial<LinkHandlers>; timing?: Partial<LinkTiming>; folder?: string } = {},
) {
  const folder = given.folder ?? (await tempFolder(t));
  const outboxFolder = join(folder, 'outbox');
  await mkdir(outboxFolder, { recursive: true });
  const newId = createTestIds();
  const outbox = await openOutbox({ folder: outboxFolder, newId });
  const key = await loadOrCreateDeviceKey(join(folder, 'key.pem'));
  const { url, mqttUrl, deviceId } = coordinator;
  const warnings: string[] = [];
  const events = new EventEmitter();
  const link = openLink({
    deviceId,
    mqttUrl,
    session: createSessionKeeper({ url, deviceId, key }),
    outbox,
    sessionFile: join(folder, 'session.json'),
    birth: () => birthBody,
    handlers: {
      job: (body) => void events.emit('job', body),
      cancel: (body) => void events.emit('cancel', body),
      desired: (body) => void events.emit('desired', body),
      policy: (body) => void events.emit('policy', body),
      ...given.handlers,
    },
    newId,
    clock: systemClock,
    random: createRandom(1),
    log: { debug() {}, info() {}, error() {}, warn: (_fields, text) => void warnings.push(text) },
    timing: { firstRetryMs: 10, maxRetryMs: 20, ...given.timing },
  });
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (!stopped) await link.stop();
    stopped = true;
  };
  t.teardown(stop);
  return { link, outbox, outboxFolder, warnings, events, stop, folder };
}

const job = {
  jobId: 'job_0123456789',
  genome: 'g1:u:4.4.4.4.8/4.4.4.4.8',
  baseDigest: 'a'.repeat(64),
  adapterDigest: 'b'.repeat(64),
  plan: { promptTokens: 4, kvTokens: 4, prefillRepeats: 1, decodeRepeats: 1, threads: 1 },
  timeoutMs: 1000,
};

t.test('the birth comes after the subscription, so what it triggers is not missed', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const { events, link } = await open(t, coordinator);
  const heard = once(events, 'job');
  const birth = await coordinator.next('birth');
  t.match(birth, { session: 1, body: birthBody });
  await coordinator.send('job', job);
  t.same((await heard)[0], job);
  t.match(link.state(), { connected: true, droppedMessages: 0 });
});

t.test('a result leaves the disk by the acknowledgement alone', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  coordinator.acknowledges = false;
  const { link, outboxFolder, outbox } = await open(t, coordinator);
  await coordinator.next('birth');
  await link.send('result', failed('job_0123456789'));
  const { id, session } = await coordinator.next('result');
  t.equal(session, 1);
  t.equal((await readdir(outboxFolder)).length, 1, 'the broker has it, the coordinator said nothing yet');
  await coordinator.acknowledge(id, 'msg_unknown');
  await coordinator.acknowledge(id);
  while ((await readdir(outboxFolder)).length > 0) await new Promise(setImmediate);
  t.same(outbox.entries(), []);
});

t.test('without an acknowledgement it is sent again, with the same id', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  coordinator.acknowledges = false;
  const { link } = await open(t, coordinator, { timing: { ackTimeoutMs: 40 } });
  await coordinator.next('birth');
  await link.send('result', failed('job_0123456789'));
  const first = await coordinator.next('result');
  const second = await coordinator.next('result');
  t.equal(second.id, first.id);
  t.same(second.body, first.body);
});

t.test('after a cut there is a new session, and what was not acknowledged comes again', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  coordinator.acknowledges = false;
  const { link } = await open(t, coordinator);
  await coordinator.next('birth');
  await link.send('result', failed('job_0123456789'));
  const first = await coordinator.next('result');
  coordinator.cut();
  t.equal((await coordinator.next('death')).session, 1, 'the will names the lost session');
  t.equal((await coordinator.next('birth')).session, 2);
  const again = await coordinator.next('result');
  t.match(again, { id: first.id, session: 2 });
});

t.test('a result made while offline is sent once there is a connection', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const first = await open(t, coordinator);
  await coordinator.next('birth');
  await first.stop();
  await coordinator.next('death');
  await first.outbox.add('result', failed('job_0123456789'));
  await open(t, coordinator, { folder: first.folder });
  t.match(await coordinator.next('birth'), { session: 2 });
  t.match(await coordinator.next('result'), { body: { jobId: 'job_0123456789' } });
});

t.test('a coordinator that forgot all tokens gets a fresh session', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  await open(t, coordinator);
  await coordinator.next('birth');
  coordinator.tokens.clear();
  coordinator.cut();
  t.ok((await coordinator.next('birth')).session > 1);
  t.equal(coordinator.tokens.size, 1);
});

t.test('a stop says goodbye for its own session', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const { stop } = await open(t, coordinator);
  await coordinator.next('birth');
  await stop();
  t.equal((await coordinator.next('death')).session, 1);
  t.equal(coordinator.waiting('death'), 0, 'and the will is not sent as well');
});

t.test('hostile messages are dropped, counted and logged once', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const { link, warnings, events } = await open(t, coordinator);
  await coordinator.next('birth');
  const topic = downTopic(coordinator.deviceId, 'job');
  const message = (body: unknown, v = 1) => JSON.stringify({ v, id: 'x', session: 0, body });
  const padded = (bytes: number) => {
    const short = message(job);
    return `${short.slice(0, -1)}${' '.repeat(bytes - short.length)}}`;
  };
  const hostile: [string, string | Uint8Array][] = [
    [topic, ''],
    [topic, 'not json'],
    [topic, new Uint8Array([0xff, 0xfe])],
    [topic, message(job, 2)],
    [topic, message({ ...job, jobId: 'x' })],
    [topic, message({ ...job, extra: 1 })],
    [topic, message({ ...job, genome: `g1:u:${'9'.repeat(3600)}` })],
    [topic, padded(limits.downMessageBytes + 1)],
    [downTopic(coordinator.deviceId, 'cancel'), message({})],
    [downTopic(coordinator.deviceId, 'desired'), message({ rolloutId: 'rol_0123456789' })],
    [downTopic(coordinator.deviceId, 'ack'), message({ ids: Array.from({ length: 65 }, () => 'a') })],
    [`${downTopic(coordinator.deviceId, 'ack')}nowledge`, message({ ids: [] })],
  ];
  for (const [where, payload] of hostile) await coordinator.publish(where, payload);
  const heard = once(events, 'job');
  // The largest message that is allowed still arrives, after all the others.
  await coordinator.publish(topic, padded(limits.downMessageBytes));
  t.same((await heard)[0], job);
  t.equal(link.state().droppedMessages, hostile.length);
  t.equal(warnings.length, 1, 'one line a minute');
  t.ok(link.state().connected);
});

t.test('progress is told at most once, and what is said of it offline is lost', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const { link } = await open(t, coordinator);
  await coordinator.next('birth');
  const progress = (done: number) => ({ jobId: 'job_0123456789', step: 'timing', done, of: 5 }) as const;
  link.tellProgress(progress(1));
  t.match(await coordinator.next('progress'), { session: 1, body: progress(1) });
  t.equal(coordinator.qos.get('progress'), 0);
  coordinator.cut();
  while (link.state().connected) await new Promise(setImmediate);
  link.tellProgress(progress(2));
  await coordinator.next('birth');
  link.tellProgress(progress(3));
  t.match(await coordinator.next('progress'), { session: 2, body: progress(3) });
  t.equal(coordinator.qos.get('birth'), 1);
});

t.test('a message on another device’s topic never arrives', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  const { link } = await open(t, coordinator);
  await coordinator.next('birth');
  await coordinator.publish(downTopic('dev_zzzzzzzzzz', 'job'), '{}');
  link.announce();
  await coordinator.next('birth');
  t.equal(link.state().droppedMessages, 0);
});

t.test('a long outbox goes in windows of 16', async (t) => {
  const coordinator = await startFakeCoordinator(t);
  coordinator.acknowledges = false;
  const folder = await tempFolder(t);
  await mkdir(join(folder, 'outbox'));
  const before = await openOutbox({ folder: join(folder, 'outbox'), newId: createTestIds() });
  for (let i = 0; i < 17; i++) await before.add('result', failed(`job_${String(i).padStart(10, '0')}`));
  const { link } = await open(t, coordinator, { folder });
  const ids: string[] = [];
  for (let i = 0; i < 16; i++) ids.push((await coordinator.next('result')).id);
  link.announce();
  await coordinator.next('birth');
  await coordinator.next('birth');
  t.equal(coordinator.waiting('result'), 0, 'the 17th waits for room');
  await coordinator.acknowledge(ids[0] as string);
  t.match(await coordinator.next('result'), { body: { jobId: 'job_0000000016' } });
});
