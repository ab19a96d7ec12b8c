import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Device, Health, JobResult } from '@fleetlora/shared/protocol';
import { upTopic } from '@fleetlora/shared/protocol';
import { connectAsync } from 'mqtt';
import t from 'tap';
import { createManualClock } from '../lib/manual-clock.js';
import { runCoordinator, type TestCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice } from '../lib/test-device.js';

const deviceOf = (coordinator: TestCoordinator, id: string) =>
  coordinator.call<Device>(`GET /v1/devices/${id}`);
const dropsOf = async (coordinator: TestCoordinator) =>
  (await coordinator.call<Health>('GET /v1/health')).droppedMessages;

t.test('a birth brings a device online, its will takes it offline', async (t) => {
  const coordinator = await runCoordinator(t);
  const device = await enrollTestDevice(coordinator);
  const connection = await device.connect();
  await connection.birth({ serveUrl: 'http://127.0.0.1:7420' });
  t.match(await deviceOf(coordinator, device.id), { online: true, serveUrl: 'http://127.0.0.1:7420' });
  t.equal((await coordinator.call<Health>('GET /v1/health')).devicesOnline, 1);
  const second = await device.connect();
  await connection.closed;
  await second.birth();
  t.match(
    await deviceOf(coordinator, device.id),
    { online: true },
    'the death of the session taken over does not count',
  );
  await second.send('death', {});
  t.match(await deviceOf(coordinator, device.id), { online: false, idleReason: /^offline, last seen / });
  await second.end();
});

t.test('MQTT over WebSocket at /mqtt of the web port', async (t) => {
  const coordinator = await runCoordinator(t);
  const device = await enrollTestDevice(coordinator);
  const connection = await device.connect(1, { url: `${coordinator.url.replace('http', 'ws')}/mqtt` });
  await connection.birth();
  t.equal((await deviceOf(coordinator, device.id)).online, true);
  await connection.end();
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket' };
  const [response] = await once(request(`${coordinator.url}/other`, { headers: upgrade }).end(), 'response');
  t.equal((response as IncomingMessage).statusCode, 404, 'no WebSocket anywhere else');
});

t.test('who is not who he says is refused at CONNECT', async (t) => {
  const coordinator = await runCoordinator(t);
  const [one, other] = [await enrollTestDevice(coordinator), await enrollTestDevice(coordinator)];
  const token = await one.openSession();
  const cases = {
    'a wrong token': { clientId: one.id, username: one.id, password: 'fld_wrong' },
    'no token': { clientId: one.id },
    "another device's token": { clientId: other.id, username: other.id, password: token },
    "another device's client id": { clientId: other.id, username: one.id, password: token },
    'the admin token': { clientId: one.id, username: one.id, password: coordinator.token },
  };
  for (const [title, options] of Object.entries(cases))
    await t.rejects(
      connectAsync(coordinator.mqttUrl, { protocolVersion: 4, reconnectPeriod: 0, ...options }),
      { code: 4 },
      title,
    );
});

t.test('a device may not read or write what is not its own', async (t) => {
  const coordinator = await runCoordinator(t);
  const [one, other] = [await enrollTestDevice(coordinator), await enrollTestDevice(coordinator)];
  const connection = await one.connect();
  for (const topic of ['#', '+/+/+/+/+', `fleetlora/v1/${other.id}/down/+`, `fleetlora/v1/${one.id}/up/+`])
    await t.rejects(connection.client.subscribeAsync(topic), `subscription to ${topic}`);
  for (const topic of [
    `fleetlora/v1/${other.id}/up/birth`,
    `fleetlora/v1/${one.id}/down/job`,
    `fleetlora/v1/${one.id}/up/other`,
    `fleetlora/v2/${one.id}/up/birth`,
    '$SYS/x',
  ]) {
    const intruder = await one.connect();
    intruder.client.publish(topic, '{}', { qos: 1 });
    await intruder.closed;
    t.pass(`publishing to ${topic} closed the connection`);
  }
  t.equal(await dropsOf(coordinator), 5);
  t.equal((await deviceOf(coordinator, other.id)).online, false);
});

t.test('messages that do not fit are dropped, counted, and logged once a minute a device', async (t) => {
  const clock = createManualClock();
  const coordinator = await runCoordinator(t, { clock });
  const [one, other] = [await enrollTestDevice(coordinator), await enrollTestDevice(coordinator)];
  const [first, second] = [await one.connect(), await other.connect()];
  await first.birth();
  const drops = () => coordinator.log.filter(({ msg }) => msg === 'message of a device dropped');
  const publish = (payload: string | Buffer) =>
    first.client.publishAsync(upTopic(one.id, 'result'), payload, { qos: 1 });
  await publish('no json');
  await publish(JSON.stringify({ v: 2, id: 'm', session: 1, body: {} }));
  await publish(JSON.stringify({ v: 1, id: 'm', session: 1, body: { jobId: 'x' } }));
  await publish(Buffer.from([0xff, 0xfe]));
  await publish(' '.repeat(192 * 1024 + 1));
  t.equal(await dropsOf(coordinator), 5);
  t.match(drops(), [{ deviceId: one.id, reason: 'result message is not JSON', unlogged: 0 }]);
  clock.advance(59_999);
  await publish('again');
  t.equal(drops().length, 1, 'not a second line within the minute');
  await second.client.publishAsync(upTopic(other.id, 'birth'), 'nonsense', { qos: 1 });
  t.match(drops()[1], { deviceId: other.id, unlogged: 0 }, 'another device has its own minute');
  clock.advance(1);
  await publish('and again');
  t.match(drops()[2], { deviceId: one.id, unlogged: 5 });
  t.equal(await dropsOf(coordinator), 8);
  await first.birth();
  t.equal((await deviceOf(coordinator, one.id)).online, true, 'the connection lives on');
});

t.test('an MQTT packet above 384 KiB ends the connection', async (t) => {
  const coordinator = await runCoordinator(t);
  const device = await enrollTestDevice(coordinator);
  const topic = upTopic(device.id, 'result');
  // Remaining Length counts the topic with its length (2 bytes), the packet id (2 bytes) and the payload.
  const room = 384 * 1024 - 4 - topic.length;
  const inside = await device.connect();
  await inside.client.publishAsync(topic, ' '.repeat(room), { qos: 1 });
  t.equal(await dropsOf(coordinator), 1, 'dropped as a message, the connection stays');
  inside.client.publish(topic, ' '.repeat(room + 1), { qos: 1 });
  await inside.closed;
  t.equal(await dropsOf(coordinator), 2);
});

t.test('a result of an unknown job is acknowledged, so that the outbox empties', async (t) => {
  const coordinator = await runCoordinator(t);
  const device = await enrollTestDevice(coordinator);
  const connection = await device.connect();
  await connection.birth();
  const result: JobResult = { jobId: 'job_00000000000000000000000000', outcome: 'failed', reason: 'x' };
  await connection.send('result', result, 'out-1');
  t.same((await connection.next('ack')).body, { ids: ['out-1'] });
  await connection.send('result', result, 'out-1');
  t.same((await connection.next('ack')).body, { ids: ['out-1'] }, 'again for its repetition');
});

t.test('a coordinator that starts again knows its devices, and that none is online', async (t) => {
  const before = await runCoordinator(t);
  const device = await enrollTestDevice(before, { name: 'kitchen' });
  const connection = await device.connect();
  await connection.birth();
  await before.stop();
  const after = await runCoordinator(t, { folder: before.folder, token: before.token });
  t.match(await deviceOf(after, 'kitchen'), { id: device.id, online: false });
});
