import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import {
  type DownKind,
  decodeMessage,
  downFilter,
  downTopic,
  encodeMessage,
  isDeviceId,
  type Message,
  type MessageBody,
  parseTopic,
  type UpKind,
} from '@fleetlora/shared/protocol';
import { Aedes, type AuthenticateError, type Client } from 'aedes';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { createDroppedMessages } from './dropped-messages.js';
import { guardPackets, PacketTooLargeError, packetCeilingBytes } from './packet-guard.js';

/** Path of MQTT over WebSocket on the web port. */
export const webSocketPath = '/mqtt';

export interface BrokerLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface BrokerOptions {
  readonly clock: Clock;
  readonly newId: (prefix: string) => string;
  readonly log: BrokerLog;
  /** The device a session token belongs to, or null. */
  readonly deviceOf: (token: string) => string | null;
  /**
   * Takes a checked message of a device. Messages of one device come one after another, in the
   * order sent; the device's PUBACK waits for the promise.
   */
  readonly receive: <K extends UpKind>(deviceId: string, kind: K, message: Message<K>) => Promise<void>;
}

export interface Broker {
  /** Messages dropped since the start: malformed, oversized, of another version. */
  readonly droppedMessages: number;
  /** Starts MQTT over TCP and returns its port. @throws PORT_IN_USE */
  listen(host: string, port: number): Promise<number>;
  /** Serves MQTT over WebSocket at `webSocketPath` of an HTTP server. */
  attach(server: HttpServer): void;
  /** Publishes to a device that is connected; to any other the message is lost, as QoS 0 would be. */
  send<K extends DownKind>(deviceId: string, kind: K, body: MessageBody<K>): Promise<void>;
  /** Cuts all connections and stops listening. */
  close(): Promise<void>;
}

/**
 * The embedded MQTT 3.1.1 broker. Nothing is kept here: what must last is in the database and in
 * the agents' outboxes.
 */
export async function createBroker(options: BrokerOptions): Promise<Broker> {
  const { clock, newId, log, deviceOf, receive } = options;
  const dropped = createDroppedMessages({
    clock,
    log: (line) => log.warn(line, 'message of a device dropped'),
  });
  const aedes = await Aedes.createBroker({
    connectTimeout: 10_000,
    authenticate(client, username, password, done) {
      const deviceId = username ?? '';
      const proved =
        isDeviceId(deviceId) && client.id === deviceId && deviceOf(password?.toString() ?? '') === deviceId;
      if (proved) return done(null, true);
      // Return code 4, bad user name or password [MQTT-3.2.2.3].
      const refusal: AuthenticateError = Object.assign(new Error('bad user name or password'), {
        returnCode: 4,
      });
      done(refusal, false);
    },
    // The broker waits here before it answers with PUBACK, so a device learns that a message was
    // taken only after it was. Nobody but the coordinator reads the up topics.
    authorizePublish(client, packet, done) {
      const deviceId = client?.id ?? '';
      const topic = parseTopic(packet.topic);
      if (topic === null || topic.direction !== 'up' || topic.deviceId !== deviceId) {
        dropped.count(deviceId, `published to ${packet.topic.slice(0, 120)}, which is not its own`);
        return done(new CodedError('FORBIDDEN', `${deviceId} may not publish to this topic`));
      }
      // A birth is retained for brokers that outlive the coordinator; this one need not keep it.
      packet.retain = false;
      queueFor(deviceId, () => take(deviceId, topic.kind, Buffer.from(packet.payload))).then(
        () => done(null),
        done,
      );
    },
    authorizeSubscribe(client, subscription, done) {
      const own =
        subscription.topic === downFilter(client.id) || isOwnDownTopic(client.id, subscription.topic);
      // Null answers with SUBACK 0x80 [MQTT-3.9.3].
      done(null, own ? subscription : null);
    },
  });
  const reportFailure = (client: Client, error: Error): void => {
    if (error instanceof PacketTooLargeError && client.id) dropped.count(client.id, error.message);
  };
  aedes.on('clientError', reportFailure);
  const reportTrouble = (error: Error): void => log.error({ err: error }, 'MQTT broker in trouble');
  aedes.addListener('error', reportTrouble);

  /** Tail of each device's queue; gone when it is empty. */
  const tails = new Map<string, Promise<void>>();
  function queueFor(deviceId: string, work: () => Promise<void>): Promise<void> {
    const tail = (tails.get(deviceId) ?? Promise.resolve()).then(work, work);
    tails.set(deviceId, tail);
    const forget = (): void => {
      if (tails.get(deviceId) === tail) tails.delete(deviceId);
    };
    tail.then(forget, forget);
    return tail;
  }

  async function take<K extends UpKind>(deviceId: string, kind: K, payload: Uint8Array): Promise<void> {
    let message: Message<K>;
    try {
      message = decodeMessage(kind, payload);
    } catch (error) {
      dropped.count(deviceId, messageOf(error));
      return;
    }
    try {
      await receive(deviceId, kind, message);
    } catch (error) {
      // Not acknowledged, so the device sends it again at its next birth.
      log.error({ err: error, deviceId, kind }, 'message of a device failed');
    }
  }

  const server = createServer({ noDelay: true }, (socket: Socket) => {
    aedes.handle(guardPackets(socket));
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: packetCeilingBytes * 2 });
  return {
    get droppedMessages() {
      return dropped.total;
    },
    async listen(host, port) {
      await new Promise<void>((resolve, reject) => {
        server.once('error', (cause: NodeJS.ErrnoException) => {
          const inUse = cause.code === 'EADDRINUSE';
          reject(
            inUse
              ? new CodedError('PORT_IN_USE', `MQTT port ${port} of ${host} is in use`, { cause })
              : cause,
          );
        });
        server.listen(port, host, resolve);
      });
      server.on('error', reportTrouble);
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : port;
    },
    attach(http) {
      http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        // From here on nobody else listens for errors of this socket, and one unheard ends the process.
        socket.on('error', () => socket.destroy());
        if (request.url?.split('?')[0] !== webSocketPath) {
          socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
          return;
        }
        (socket as Socket).setNoDelay(true);
        sockets.handleUpgrade(request, socket, head, (webSocket) => {
          aedes.handle(guardPackets(createWebSocketStream(webSocket)), request);
        });
      });
    },
    async send(deviceId, kind, body) {
      const payload = encodeMessage(kind, { id: newId('msg'), session: 0, body });
      await new Promise<void>((resolve, reject) => {
        aedes.publish(
          { cmd: 'publish', topic: downTopic(deviceId, kind), payload, qos: 1, retain: false, dup: false },
          (error) => (error ? reject(error) : resolve()),
        );
      });
    },
    async close() {
      const stopped = new Promise<void>((resolve) => {
        if (server.listening) server.close(() => resolve());
        else resolve();
      });
      await new Promise<void>((resolve) => {
        aedes.close(resolve);
      });
      for (const webSocket of sockets.clients) webSocket.terminate();
      sockets.close();
      await stopped;
      await Promise.allSettled(tails.values());
    },
  };
}

function isOwnDownTopic(deviceId: string, filter: string): boolean {
  const topic = parseTopic(filter);
  return topic !== null && topic.direction === 'down' && topic.deviceId === deviceId;
}
