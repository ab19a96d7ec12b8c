import { createPublicKey, verify } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createDeviceSessions,
  deriveDeviceClass,
  type EnrolledDevice,
  openReleaseKey,
} from '@fleetlora/coordinator/identity';
import { sessionBytes } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { createManualClock } from '../lib/manual-clock.js';
import { temporaryFolder } from '../lib/running-coordinator.js';
import { makeTestKey, testFacts } from '../lib/test-device.js';

t.test('device class: architecture, processor and cores, a valid name in any case', async (t) => {
  for (const [facts, expected] of [
    [{ arch: 'arm64', cpuModel: 'Cortex-A72', cores: 4 }, 'arm64-cortex-a72-4c'],
    [
      { arch: 'x64', cpuModel: 'Intel(R) Xeon(R) CPU E5-2673 v4 @ 2.30GHz', cores: 2 },
      'x64-intel-xeon-e5-2673-v4-2c',
    ],
    [{ arch: 'arm64', cpuModel: '', os: 'Linux 6.1', cores: 8 }, 'arm64-linux-6.1-8c'],
    [{ arch: '', cpuModel: '™', os: '', cores: 1 }, 'unknown-unknown-1c'],
    [
      { arch: 'a'.repeat(256), cpuModel: 'b'.repeat(256), cores: 4096 },
      `${'a'.repeat(32)}-${'b'.repeat(25)}-4096c`,
    ],
  ] as const) {
    const found = deriveDeviceClass({ ...testFacts, ...facts });
    t.equal(found, expected);
    t.match(found, /^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$/);
  }
});

t.test('the release key is made once, kept private, and signs what its public half verifies', async (t) => {
  const path = join(await temporaryFolder(t), 'secrets', 'key.pem');
  const key = await openReleaseKey(path);
  const again = await openReleaseKey(path);
  t.equal(again.publicKey, key.publicKey);
  t.match(key.keyId, /^[0-9a-f]{64}$/);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.match(await readFile(path, 'utf8'), /^-----BEGIN PRIVATE KEY-----/);
  const manifest = '{"name":"é"}';
  const signed = await again.sign(manifest);
  t.match(signed, { keyId: key.keyId, manifest });
  const publicKey = createPublicKey({
    key: Buffer.from(key.publicKey, 'base64'),
    format: 'der',
    type: 'spki',
  });
  t.equal(publicKey.asymmetricKeyType, 'ed25519');
  const isGood = (text: string) =>
    verify(null, Buffer.from(text), publicKey, Buffer.from(signed.signature, 'base64'));
  t.equal(isGood(manifest), true);
  t.equal(isGood(`${manifest} `), false);
});

t.test('sessions: a day long, four a device, one nonce for one answer', async (t) => {
  const clock = createManualClock();
  const key = makeTestKey();
  const enrolled: EnrolledDevice = {
    id: 'dev_00000000000000000000000001',
    name: 'board',
    deviceClass: 'pi',
    publicKey: key.publicKey,
    facts: testFacts,
    enrolledAtMs: 0,
  };
  const { id: deviceId } = enrolled;
  const devices = { findEnrolled: async (id: string) => (id === deviceId ? enrolled : null) };
  const sessions = createDeviceSessions({ devices, clock });
  const answer = (nonce: string, id = deviceId) =>
    sessions.open({ deviceId: id, nonce, signature: key.sign(sessionBytes(id, nonce)) });
  const open = async () => (await answer(sessions.challenge(deviceId).nonce)).token;

  const first = await open();
  t.equal(sessions.deviceOf(first), deviceId);
  clock.advance(86_399_999);
  t.equal(sessions.deviceOf(first), deviceId, 'at 23:59:59.999');
  clock.advance(1);
  t.equal(sessions.deviceOf(first), null, 'at 24:00:00');

  const tokens = [];
  for (let i = 0; i < 5; i++) tokens.push(await open());
  t.same(
    tokens.map((token) => sessions.deviceOf(token)),
    [null, deviceId, deviceId, deviceId, deviceId],
    'the fifth ends the first',
  );
  const { nonce } = sessions.challenge(deviceId);
  await answer(nonce);
  await t.rejects(answer(nonce), coded('UNAUTHENTICATED'), 'used');
  await t.rejects(answer('made-up'), coded('UNAUTHENTICATED'), 'never given');
  const foreign = sessions.challenge('dev_00000000000000000000000002').nonce;
  await t.rejects(answer(foreign), coded('UNAUTHENTICATED'), 'given to another device');
  const stranger = 'dev_00000000000000000000000003';
  await t.rejects(
    answer(sessions.challenge(stranger).nonce, stranger),
    coded('UNAUTHENTICATED'),
    'unknown device',
  );
});

t.test('10,000 challenges wait at most: one more makes the oldest give way', async (t) => {
  const key = makeTestKey();
  const deviceId = 'dev_00000000000000000000000001';
  const enrolled = {
    id: deviceId,
    name: '',
    deviceClass: '',
    publicKey: key.publicKey,
    facts: testFacts,
    enrolledAtMs: 0,
  };
  const sessions = createDeviceSessions({
    devices: { findEnrolled: async () => enrolled },
    clock: createManualClock(),
  });
  const answer = (nonce: string) =>
    sessions.open({ deviceId, nonce, signature: key.sign(sessionBytes(deviceId, nonce)) });
  const nonces = Array.from({ length: 10_001 }, () => sessions.challenge(deviceId).nonce);
  await t.rejects(answer(nonces[0] ?? ''), coded('UNAUTHENTICATED'));
  t.match(await answer(nonces[1] ?? ''), { expiresInSeconds: 86_400 });
});
