import { type ApiError, type Code, type Device, enrolmentBytes } from '@fleetlora/shared/protocol';
import t from 'tap';
import { createManualClock } from '../lib/manual-clock.js';
import { runCoordinator, type TestCoordinator } from '../lib/running-coordinator.js';
import { enrollTestDevice, makeTestKey, type TestKey, testFacts } from '../lib/test-device.js';

const enroll = (coordinator: TestCoordinator, code: string, key: TestKey, changes: object = {}) =>
  coordinator.request('POST /v1/enroll', {
    token: null,
    body: {
      code,
      publicKey: key.publicKey,
      proof: key.sign(enrolmentBytes(code, key.publicKey)),
      facts: testFacts,
      ...changes,
    },
  });
const errorOf = async (response: Response): Promise<[number, string]> => {
  const { code } = (await response.json()) as ApiError;
  return [response.status, code];
};

t.test('a code enrols one device, and its holder may ask again', async (t) => {
  const coordinator = await runCoordinator(t);
  const { code } = await coordinator.call<Code>('POST /v1/codes', {});
  t.match(code, /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}$/, 'sixteen letters in four groups');
  const key = makeTestKey();
  const first = await enroll(coordinator, code, key);
  t.equal(first.status, 201);
  const enrolled = (await first.json()) as { deviceId: string; deviceClass: string; mqttUrl: string };
  t.equal(enrolled.deviceClass, 'arm64-cortex-a72-4c', 'the class follows from the facts');
  t.equal(enrolled.mqttUrl, coordinator.mqttUrl);
  t.same(await (await enroll(coordinator, code, key)).json(), enrolled, 'the lost answer is repeated');
  t.same(await errorOf(await enroll(coordinator, code, makeTestKey())), [409, 'CODE_USED']);
  const devices = await coordinator.call<Device[]>('GET /v1/devices');
  t.equal(devices.length, 1);
  t.match(devices[0], { name: 'board', online: false, idleReason: 'it has not connected since it enrolled' });
});

t.test('an unknown code is refused', async (t) => {
  const coordinator = await runCoordinator(t);
  t.same(await errorOf(await enroll(coordinator, 'AAAA-BBBB-CCCC-DDDD', makeTestKey())), [
    400,
    'CODE_UNKNOWN',
  ]);
});

t.test('a code of 10 s is good at 9,999 ms and expired at 10,000 ms', async (t) => {
  const clock = createManualClock();
  const coordinator = await runCoordinator(t, { clock });
  const { code: early } = await coordinator.call<Code>('POST /v1/codes', { ttlSeconds: 10 });
  const { code: late } = await coordinator.call<Code>('POST /v1/codes', { ttlSeconds: 10 });
  clock.advance(9_999);
  t.equal((await enroll(coordinator, early, makeTestKey())).status, 201);
  clock.advance(1);
  t.same(await errorOf(await enroll(coordinator, late, makeTestKey())), [400, 'CODE_EXPIRED']);
});

t.test('a key must be P-256 and must have signed the request', async (t) => {
  const coordinator = await runCoordinator(t);
  const { code } = await coordinator.call<Code>('POST /v1/codes', {});
  const [one, other] = [makeTestKey(), makeTestKey()];
  t.same(await errorOf(await enroll(coordinator, code, makeTestKey('P-384'))), [400, 'BAD_REQUEST']);
  const stolen = await enroll(coordinator, code, { publicKey: one.publicKey, sign: other.sign });
  t.same(await errorOf(stolen), [400, 'SIGNATURE_INVALID']);
  t.equal((await enroll(coordinator, code, one)).status, 201, 'neither try used the code up');
});

t.test('a code typed in lower case without hyphens, O for 0, is the same code', async (t) => {
  const coordinator = await runCoordinator(t);
  const { code } = await coordinator.call<Code>('POST /v1/codes', { deviceClass: 'pi' });
  const typed = code.toLowerCase().replaceAll('-', '').replaceAll('0', 'o').replaceAll('1', 'l');
  const response = await enroll(coordinator, typed, makeTestKey());
  t.match(await response.json(), { deviceClass: 'pi' });
});

t.test('a key enrolled once cannot enrol by a second code', async (t) => {
  const coordinator = await runCoordinator(t);
  const device = await enrollTestDevice(coordinator);
  const { code } = await coordinator.call<Code>('POST /v1/codes', {});
  t.same(await errorOf(await enroll(coordinator, code, device.key)), [409, 'ALREADY_EXISTS']);
});

t.test('devices of one host name get different names', async (t) => {
  const coordinator = await runCoordinator(t);
  for (let i = 0; i < 3; i++) await enrollTestDevice(coordinator);
  const names = (await coordinator.call<Device[]>('GET /v1/devices')).map(({ name }) => name);
  t.same(names, ['board', 'board-2', 'board-3']);
});

t.test('a session needs the right key, and a nonce serves once', async (t) => {
  const coordinator = await runCoordinator(t);
  const device = await enrollTestDevice(coordinator);
  const { nonce } = await coordinator.call<{ nonce: string }>('POST /v1/device/challenge', {
    deviceId: device.id,
  });
  const bytes = new TextEncoder().encode(`fleetlora-session\n${device.id}\n${nonce}`);
  const open = (signature: string) =>
    coordinator.request('POST /v1/device/session', {
      token: null,
      body: { deviceId: device.id, nonce, signature },
    });
  t.same(await errorOf(await open(makeTestKey().sign(bytes))), [401, 'UNAUTHENTICATED'], 'a foreign key');
  t.same(await errorOf(await open(device.key.sign(bytes))), [401, 'UNAUTHENTICATED'], 'the nonce is used up');
  t.match(await device.openSession(), /^fld_/);
});

t.test('a challenge is good for 60 s', async (t) => {
  const clock = createManualClock();
  const coordinator = await runCoordinator(t, { clock });
  const device = await enrollTestDevice(coordinator);
  for (const [waitMs, status] of [
    [59_999, 200],
    [60_000, 401],
  ] as const) {
    const { nonce } = await coordinator.call<{ nonce: string }>('POST /v1/device/challenge', {
      deviceId: device.id,
    });
    clock.advance(waitMs);
    const signature = device.key.sign(new TextEncoder().encode(`fleetlora-session\n${device.id}\n${nonce}`));
    const body = { deviceId: device.id, nonce, signature };
    t.equal(
      (await coordinator.request('POST /v1/device/session', { body })).status,
      status,
      `after ${waitMs} ms`,
    );
  }
});
