import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  type Birth,
  type Code,
  type DeviceFacts,
  type DownKind,
  decodeMessage,
  downFilter,
  type Enrolled,
  encodeMessage,
  enrolmentBytes,
  type Message,
  type MessageBody,
  parseTopic,
  type Session,
  sessionBytes,
  type UpKind,
  upTopic,
} from '@fleetlora/shared/protocol';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import type { TestCoordinator } from './running-coordinator.js';

export const testFacts: DeviceFacts = {
  agentVersion: '0.3.0',
  hostname: 'board',
  os: 'linux',
  arch: 'arm64',
  cpuModel: 'Cortex-A72',
  cores: 4,
  memoryBytes: 4e9,
  runtime: 'onnxruntime-node 1.30.0',
  provider: 'cpu',
  bootId: '',
};

export interface TestKey {
  /** P-256 SPKI DER, base64. */
  readonly publicKey: string;
  sign(bytes: Uint8Array): string;
}

/** A key as a device makes it; the curve is an argument so that wrong ones can be tried. */
export function makeTestKey(namedCurve = 'P-256'): TestKey {
  const { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync(
    'ec',
    {
      namedCurve,
    },
  );
  return {
    publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
    sign: (bytes) => sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64'),
  };
}

export interface TestDevice {
  readonly id: string;
  readonly key: TestKey;
  readonly enrolled: Enrolled;
  /** A fresh session token. */
  openSession(): Promise<string>;
  connect(session?: number, options?: IClientOptions & { url?: string }): Promise<TestConnection>;
}

/** One MQTT connection of a device that has subscribed to its own topics. */
export interface TestConnection {
  readonly client: MqttClient;
  readonly session: number;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
  /** Publishes and waits for the PUBACK; the coordinator has handled the message by then. */
  send<K extends UpKind>(kind: K, body: MessageBody<K>, id?: string): Promise<void>;
  birth(changes?: Partial<Birth>): Promise<void>;
  /** The next message of a kind, in the order they came. */
  next<K extends DownKind>(kind: K): Promise<Message<K>>;
  /** Messages that came and were not taken with `next`. */
  waiting(kind: DownKind): number;
  /** Ends with DISCONNECT (no death is published). */
  end(): Promise<void>;
}

/** Enrols a new device. */
export async function enrollTestDevice(
  coordinator: TestCoordinator,
  options: { deviceClass?: string; name?: string; facts?: Partial<DeviceFacts> } = {},
): Promise<TestDevice> {
  const { code } = await coordinator.call<Code>('POST /v1/codes', {
    deviceClass: options.deviceClass ?? 'board',
  });
  const key = makeTestKey();
  const enrolled = await coordinator.call<Enrolled>('POST /v1/enroll', {
    code,
    name: options.name,
    publicKey: key.publicKey,
    proof: key.sign(enrolmentBytes(code, key.publicKey)),
    facts: { ...testFacts, ...options.facts },
  });
  return testDevice(coordinator, key, enrolled, options.facts);
}

/** The device of a key that is enrolled already. */
export function testDevice(
  coordinator: TestCoordinator,
  key: TestKey,
  enrolled: Enrolled,
  facts?: Partial<DeviceFacts>,
): TestDevice {
  const id = enrolled.deviceId;
  let lastSession = 0;
  let lastMessage = 0;
  const openSession = async (): Promise<string> => {
    const { nonce } = await coordinator.call<{ nonce: string }>('POST /v1/device/challenge', {
      deviceId: id,
    });
    const signature = key.sign(sessionBytes(id, nonce));
    return (await coordinator.call<Session>('POST /v1/device/session', { deviceId: id, nonce, signature }))
      .token;
  };
  return {
    id,
    key,
    enrolled,
    openSession,
    async connect(session = ++lastSession, { url = coordinator.mqttUrl, ...options } = {}) {
      lastSession = session;
      const client = await connectAsync(url, {
        protocolVersion: 4,
        clientId: id,
        username: id,
        password: await openSession(),
        reconnectPeriod: 0,
        will: {
          topic: upTopic(id, 'death'),
          payload: Buffer.from(encodeMessage('death', { id: `will-${session}`, session, body: {} })),
          qos: 1,
          retain: false,
        },
        ...options,
      });
      const arrived: { kind: DownKind; message: Message<DownKind> }[] = [];
      const wanted: { kind: DownKind; resolve: (message: Message<DownKind>) => void }[] = [];
      client.on('error', () => {});
      const closed = new Promise<void>((resolve) => {
        client.once('close', () => resolve());
      });
      client.on('message', (topic, payload) => {
        const kind = parseTopic(topic)?.kind as DownKind;
        const message = decodeMessage(kind, payload) as Message<DownKind>;
        const at = wanted.findIndex((want) => want.kind === kind);
        const [want] = at < 0 ? [] : wanted.splice(at, 1);
        if (want) want.resolve(message);
        else arrived.push({ kind, message });
      });
      await client.subscribeAsync(downFilter(id), { qos: 1 });
      const connection: TestConnection = {
        client,
        session,
        closed,
        async send(kind, body, messageId = `${session}-${++lastMessage}`) {
          const text = encodeMessage(kind, { id: messageId, session, body });
          await client.publishAsync(upTopic(id, kind), text, { qos: 1 });
        },
        birth: (changes = {}) =>
          connection.send('birth', {
            facts: { ...testFacts, ...facts },
            heldJobIds: [],
            installedReleaseId: null,
            serveUrl: null,
            ...changes,
          }),
        next<K extends DownKind>(kind: K) {
          const at = arrived.findIndex((one) => one.kind === kind);
          const [one] = at < 0 ? [] : arrived.splice(at, 1);
          if (one) return Promise.resolve(one.message as Message<K>);
          return new Promise<Message<K>>((resolve) => {
            wanted.push({ kind, resolve: resolve as (message: Message<DownKind>) => void });
          });
        },
        waiting: (kind) => arrived.filter((one) => one.kind === kind).length,
        end: () => client.endAsync(),
      };
      return connection;
    },
  };
}
