import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import {
  type DownKind,
  decodeMessage,
  downTopic,
  encodeMessage,
  type Message,
  type MessageBody,
  parseTopic,
  type ReleaseManifest,
  type SignedManifest,
  type UpKind,
} from '@fleetlora/shared/protocol';
import { Aedes } from 'aedes';
import type { Test } from 'tap';

/**
 * The coordinator's side of the wire, played by the test: it decides when to acknowledge, what to
 * serve, and when to cut. Sockets, HTTP and MQTT are real.
 */
export interface FakeCoordinator {
  readonly url: string;
  readonly mqttUrl: string;
  readonly deviceId: string;
  /** Ed25519 SPKI DER, base64. */
  readonly releaseKey: string;
  /** Blobs of GET /v1/artifacts, by digest. */
  readonly blobs: Map<string, Uint8Array>;
  /** Paths requested, in order, with their Range header. */
  readonly requests: { readonly path: string; readonly range: string | undefined }[];
  /** Tokens handed out that still hold. */
  readonly tokens: Set<string>;
  /** MQTT connections accepted so far. */
  readonly connections: number;
  /** Quality of service of the last message of each kind. */
  readonly qos: ReadonlyMap<UpKind, number>;
  /** Whether result and report messages are acknowledged as they come. */
  acknowledges: boolean;
  /** Called with every artifact request before it is answered; true when it answered itself. */
  onArtifact: ((request: IncomingMessage, response: ServerResponse) => boolean) | null;
  addBlob(bytes: Uint8Array): string;
  signManifest(manifest: ReleaseManifest): string;
  send<K extends DownKind>(kind: K, body: MessageBody<K>): Promise<void>;
  /** Publishes any bytes on any topic. */
  publish(topic: string, payload: Uint8Array | string): Promise<void>;
  /** The next message of a kind that was not taken yet; waits for it. */
  next<K extends UpKind>(kind: K): Promise<Message<K>>;
  /** Messages of a kind that came and were not taken. */
  waiting(kind: UpKind): number;
  acknowledge(...ids: string[]): Promise<void>;
  /** Destroys all MQTT sockets, as a network does. */
  cut(): void;
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export async function startFakeCoordinator(t: Test): Promise<FakeCoordinator> {
  const deviceId = 'dev_0123456789';
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const blobs = new Map<string, Uint8Array>();
  const requests: { path: string; range: string | undefined }[] = [];
  const tokens = new Set<string>();
  const inbox: { kind: UpKind; message: Message<UpKind> }[] = [];
  const waiters: { kind: UpKind; resolve: (message: Message<UpKind>) => void }[] = [];
  const sockets = new Set<Socket>();
  const qos = new Map<UpKind, number>();
  let connections = 0;

  const aedes = await Aedes.createBroker({
    authenticate(client, username, password, done) {
      const good = username === deviceId && client.id === deviceId && tokens.has(String(password));
      if (good) connections++;
      done(good ? null : Object.assign(new Error('bad user name or password'), { returnCode: 4 }), good);
    },
  });
  aedes.on('publish', (packet, client) => {
    const topic = parseTopic(packet.topic);
    // A will is published by the broker itself, so it has no client.
    if (topic?.direction !== 'up' || (!client && topic.kind !== 'death')) return;
    const message = decodeMessage(topic.kind, Buffer.from(packet.payload));
    qos.set(topic.kind, packet.qos);
    const waiter = waiters.findIndex(({ kind }) => kind === topic.kind);
    if (waiter >= 0) waiters.splice(waiter, 1)[0]?.resolve(message);
    else inbox.push({ kind: topic.kind, message });
    if (fake.acknowledges && (topic.kind === 'result' || topic.kind === 'report'))
      void fake.acknowledge(message.id);
  });
  const tcp = createTcpServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  const http = createServer((request, response) => void answer(request, response));
  const portOf = (server: typeof tcp | typeof http): Promise<number> =>
    new Promise((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
    );
  const mqttUrl = `mqtt://127.0.0.1:${await portOf(tcp)}`;
  const url = `http://127.0.0.1:${await portOf(http)}`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    requests.push({ path, range: request.headers.range });
    if (path.startsWith('/v1/artifacts/'))
      return serveBlob(path.slice('/v1/artifacts/'.length), request, response);
    for await (const _ of request) {
      // The bodies are the real coordinator's to check.
    }
    const json = (value: unknown): void => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (path === '/v1/device/challenge') return json({ nonce: 'nonce' });
    if (path === '/v1/device/session') {
      const token = randomBytes(8).toString('hex');
      tokens.add(token);
      return json({ token, expiresInSeconds: 3600 });
    }
    if (path === '/v1/enroll')
      return json({ deviceId, deviceClass: 'test', mqttUrl, releaseKey: fake.releaseKey });
    response
      .writeHead(404, { 'content-type': 'application/json' })
      .end('{"code":"NOT_FOUND","message":"no route"}');
  }

  function serveBlob(digest: string, request: IncomingMessage, response: ServerResponse): void {
    if (!tokens.has((request.headers.authorization ?? '').replace('Bearer ', ''))) {
      response
        .writeHead(401, { 'content-type': 'application/json' })
        .end('{"code":"UNAUTHENTICATED","message":"no"}');
      return;
    }
    if (fake.onArtifact?.(request, response)) return;
    const bytes = blobs.get(digest);
    if (!bytes) {
      response
        .writeHead(404, { 'content-type': 'application/json' })
        .end('{"code":"NOT_FOUND","message":"no blob"}');
      return;
    }
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? -1);
    if (start >= bytes.length) response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    else if (start >= 0)
      response
        .writeHead(206, {
          'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
          'content-length': bytes.length - start,
        })
        .end(bytes.subarray(start));
    else response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  }

  const publish = (topic: string, payload: Uint8Array | string): Promise<void> =>
    new Promise((resolve, reject) =>
      aedes.publish(
        { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false },
        (error) => (error ? reject(error) : resolve()),
      ),
    );
  let sent = 0;
  const fake: FakeCoordinator = {
    url,
    mqttUrl,
    deviceId,
    releaseKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    blobs,
    requests,
    tokens,
    get connections() {
      return connections;
    },
    qos,
    acknowledges: true,
    onArtifact: null,
    addBlob(bytes) {
      const digest = digestOf(bytes);
      blobs.set(digest, bytes);
      return digest;
    },
    signManifest(manifest) {
      const text = JSON.stringify(manifest);
      const signed: SignedManifest = {
        keyId: digestOf(publicKey.export({ type: 'spki', format: 'der' })),
        manifest: text,
        signature: sign(null, Buffer.from(text), privateKey).toString('base64'),
      };
      return fake.addBlob(Buffer.from(JSON.stringify(signed)));
    },
    send: (kind, body) =>
      publish(downTopic(deviceId, kind), encodeMessage(kind, { id: `down_${++sent}`, session: 0, body })),
    publish,
    next<K extends UpKind>(kind: K): Promise<Message<K>> {
      const index = inbox.findIndex((entry) => entry.kind === kind);
      if (index >= 0) return Promise.resolve(inbox.splice(index, 1)[0]?.message as Message<K>);
      return new Promise((resolve) =>
        waiters.push({ kind, resolve: resolve as (message: Message<UpKind>) => void }),
      );
    },
    waiting: (kind) => inbox.filter((entry) => entry.kind === kind).length,
    acknowledge: (...ids) => fake.send('ack', { ids }),
    cut() {
      for (const socket of sockets) socket.destroy();
    },
  };
  t.teardown(async () => {
    fake.cut();
    http.closeAllConnections();
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    await Promise.all([tcp, http].map((server) => new Promise((resolve) => server.close(resolve))));
  });
  return fake;
}
