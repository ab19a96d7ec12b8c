import type {
  Code,
  CodeCreate,
  Enroll,
  Enrolled,
  Health,
  Session,
  SessionRequest,
} from '@fleetlora/shared/protocol';
import type { Static } from 'typebox';
import { board } from './example-devices.js';
import { ids, times } from './example-names.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const publicKey =
  'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3Hc8m1y2b1k0xJ8l9mWq0vYz5n7r4s6t2u1v8w9x0y1z2A3B4C5D6E7F8G9H0I1J2K3L4M5N6O7P8Q9R0S==';
const signature = 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kA==';
const nonce = 'n5Xw2v8q0aZ4rT7yB1cD3eF6gH9jK0lM';

export const serviceDocs = {
  health: {
    tag: 'service',
    summary: 'Whether the coordinator runs, and how',
    description:
      'Answers without a token, and also while the database is away: then `store` says `unavailable`, and ' +
      'every other route answers 503 or 507 until it is back.',
    commands: [],
    answer: exampleOf<Health>({
      version: '0.1.0',
      startedAtMs: times.started,
      devicesOnline: 3,
      droppedMessages: 0,
      store: 'available',
    }),
  },
  createCode: {
    tag: 'devices',
    summary: 'Make a one-use enrolment code',
    description:
      'A device that shows the code within `ttlSeconds` (a day when absent) belongs to this coordinator from ' +
      'then on, in `deviceClass` or in the class of its processor. The code is told once and stored as a hash.',
    commands: ['code create'],
    body: exampleOf<CodeCreate>({ ttlSeconds: 3600, deviceClass: 'raspberry-pi-5' }),
    answer: exampleOf<Code>({
      code: '7K2M-9QXD-W0TR-B4CF',
      expiresAtMs: times.started + 3_600_000,
      enrollUrl: 'http://127.0.0.1:7410',
    }),
  },
  enroll: {
    tag: 'device protocol',
    summary: 'Enrol a device by a code and its key',
    description:
      'The device proves by `proof` that it holds the private key of `publicKey`. Asked again with the same ' +
      'code and key it gets the same answer, so a lost answer costs nothing.',
    commands: [],
    body: exampleOf<Enroll>({
      code: '7K2M-9QXD-W0TR-B4CF',
      name: 'kitchen-pi',
      publicKey,
      proof: signature,
      facts: board.facts,
    }),
    answer: exampleOf<Enrolled>({
      deviceId: ids.device,
      deviceClass: 'raspberry-pi-5',
      mqttUrl: 'mqtt://127.0.0.1:7411',
      releaseKey: 'MCowBQYDK2VwAyEA6r3Zq1v0b7m2n5k8j4h6g9f1d3s0a2q5w7e9r1t3y5U=',
    }),
    errors: {
      SIGNATURE_INVALID: 'the proof does not fit the public key',
      CODE_UNKNOWN: 'the enrolment code is not known here, check it or create a new one',
      CODE_EXPIRED: 'the enrolment code expired at 2026-01-31T14:25:00.000Z, create a new one',
      CODE_USED: `the enrolment code was used by ${ids.device}, create a new one`,
      ALREADY_EXISTS: `this key is enrolled as ${ids.device} (kitchen-pi)`,
    },
  },
  challenge: {
    tag: 'device protocol',
    summary: 'A nonce for a device to sign',
    description: 'The first half of opening a session. The nonce is good once, for a minute.',
    commands: [],
    body: { deviceId: ids.device },
    answer: { nonce },
  },
  openSession: {
    tag: 'device protocol',
    summary: 'A session token for a signed nonce',
    description:
      'The token is the password of the MQTT connection (user name: the id of the device) and the bearer ' +
      'token of downloads.',
    commands: [],
    body: exampleOf<Static<typeof SessionRequest>>({ deviceId: ids.device, nonce, signature }),
    answer: exampleOf<Session>({ token: 'fld_3v9Q1m7XcT2w8Rk5YpZ0aB4dE6fG', expiresInSeconds: 86_400 }),
    errors: { UNAUTHENTICATED: 'the signed challenge does not fit the device, ask for a new challenge' },
  },
} as const satisfies Record<string, RouteDoc>;
