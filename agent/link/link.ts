import type { Clock } from '@fleetlora/shared/clock';
import { isCoded, messageOf } from '@fleetlora/shared/errors';
import { pause } from '@fleetlora/shared/node';
import {
  type Birth,
  type Conditions,
  decodeMessage,
  downFilter,
  encodeMessage,
  limits,
  type MessageBody,
  type Progress,
  parseTopic,
  upTopic,
} from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import type { SessionKeeper } from '../identity/index.js';
import type { Log } from '../log.js';
import { createBackoff } from './backoff.js';
import { type MqttConnection, openMqttConnection } from './mqtt-connection.js';
import type { Outbox, OutboxEntry, OutboxKind } from './outbox.js';
import { createRareLog } from './rare-log.js';
import { nextSessionNumber } from './session-number.js';

/** The agent's line to its coordinator. */
export interface Link {
  /** Keeps a message until the coordinator has it. Resolves when it is safe: on disk, or over there. */
  send<K extends OutboxKind>(kind: K, body: MessageBody<K>): Promise<void>;
  /** Sends what the outbox holds and was not sent yet. */
  flush(): void;
  /** Says what holds at the moment; without a connection it is lost, and the next birth says it. */
  tell(conditions: Conditions): void;
  /** Says what is done for a job at the moment; lost without a connection, or when that is slow. */
  tellProgress(progress: Progress): void;
  /** Says again what this device is, when something of it changed. */
  announce(): void;
  state(): LinkState;
  /** Says goodbye and ends. What is in the outbox stays there. */
  stop(): Promise<void>;
}

export interface LinkState {
  readonly connected: boolean;
  /** Connections so far, in this process. */
  readonly connections: number;
  /** Messages from the broker that were not ours or did not fit. */
  readonly droppedMessages: number;
  readonly lastError: string | null;
}

/** One handler a kind; a duplicate of a message may come at any time. */
export interface LinkHandlers {
  readonly job: (body: MessageBody<'job'>) => void;
  readonly cancel: (body: MessageBody<'cancel'>) => void;
  readonly desired: (body: MessageBody<'desired'>) => void;
  readonly policy: (body: MessageBody<'policy'>) => void;
}

export interface LinkSettings {
  readonly deviceId: string;
  readonly mqttUrl: string;
  readonly session: SessionKeeper;
  readonly outbox: Outbox;
  readonly sessionFile: string;
  readonly birth: () => Birth;
  /** Called once a connection, before its birth. */
  readonly onConnection?: () => void;
  readonly handlers: LinkHandlers;
  readonly newId: (prefix: string) => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly timing?: Partial<LinkTiming>;
}

export interface LinkTiming {
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  readonly connectTimeoutMs: number;
  /** An entry that was not acknowledged for this long is sent again. */
  readonly ackTimeoutMs: number;
  readonly hostileLogIntervalMs: number;
}

const defaultTiming: LinkTiming = {
  firstRetryMs: 500,
  maxRetryMs: 30_000,
  connectTimeoutMs: 15_000,
  ackTimeoutMs: 10_000,
  hostileLogIntervalMs: limits.hostileLogIntervalMs,
};

/** Messages under way at once: a device back from a long absence must not flood its broker. */
const WINDOW = 16;

/**
 * Keeps one connection to the broker alive from now on.
 *
 * Invariants:
 * - A connection has its own session number, in its birth, its will and all it sends.
 * - The subscription stands before the birth is sent, so nothing sent because of it is missed.
 * - An entry leaves the outbox by an `ack` alone, and is sent at least once on each connection.
 */
export function openLink(settings: LinkSettings): Link {
  const { deviceId, outbox, log, clock } = settings;
  const timing = { ...defaultTiming, ...settings.timing };
  const hostile = createRareLog(log, clock, timing.hostileLogIntervalMs);
  const trouble = createRareLog(log, clock, timing.hostileLogIntervalMs);
  const backoff = createBackoff({ firstMs: timing.firstRetryMs, maxMs: timing.maxRetryMs }, settings.random);
  const stopping = new AbortController();
  let live: { connection: MqttConnection; session: number } | null = null;
  let connections = 0;
  let droppedMessages = 0;
  let lastError: string | null = null;
  /** When each entry was last sent on the live connection. */
  const sentAtMs = new Map<string, number>();

  function receive(topic: string, payload: Uint8Array): void {
    try {
      const parsed = parseTopic(topic);
      if (parsed?.direction !== 'down' || parsed.deviceId !== deviceId) {
        droppedMessages++;
        hostile.warn({ topic: topic.slice(0, 200) }, 'a message on a foreign topic was dropped');
        return;
      }
      const { kind } = parsed;
      if (kind === 'job') settings.handlers.job(decodeMessage(kind, payload).body);
      else if (kind === 'cancel') settings.handlers.cancel(decodeMessage(kind, payload).body);
      else if (kind === 'desired') settings.handlers.desired(decodeMessage(kind, payload).body);
      else if (kind === 'policy') settings.handlers.policy(decodeMessage(kind, payload).body);
      else acknowledge(decodeMessage(kind, payload).body);
    } catch (error) {
      if (!isCoded(error) || error.kind !== 'input') throw error;
      droppedMessages++;
      hostile.warn({ topic, code: error.code }, `a message was dropped: ${error.message}`);
    }
  }

  function acknowledge({ ids }: MessageBody<'ack'>): void {
    for (const id of ids) {
      sentAtMs.delete(id);
      const entry = outbox.entries().find((waiting) => waiting.id === id);
      const jobId = entry?.kind === 'result' ? entry.body.jobId : null;
      outbox.acknowledge(id).then(
        (wasHere) => wasHere && log.debug({ id, jobId }, 'the coordinator has a message of ours'),
        (error: unknown) =>
          log.error({ id, reason: messageOf(error) }, 'an acknowledged message could not be removed'),
      );
    }
    pump();
  }

  /**
   * Sends what was never sent on this connection or waits too long for its ack, oldest first, a
   * window at a time. PUBACKs are not waited for: they say that the broker has a message, and
   * only the coordinator's ack counts.
   */
  function pump(): void {
    if (!live) return;
    const { connection, session } = live;
    const nowMs = clock.monotonicMs();
    const isFresh = ({ id }: OutboxEntry): boolean =>
      nowMs - (sentAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < timing.ackTimeoutMs;
    const entries = outbox.entries();
    const room = WINDOW - entries.filter(isFresh).length;
    for (const entry of entries.filter((waiting) => !isFresh(waiting)).slice(0, Math.max(0, room))) {
      sentAtMs.set(entry.id, nowMs);
      connection
        .publish(upTopic(deviceId, entry.kind), encodeEntry(entry, session), { retain: false })
        .catch((error: unknown) => log.debug({ reason: messageOf(error) }, 'a message was not sent'));
    }
  }

  async function sayBirth(): Promise<void> {
    if (!live) return;
    const { connection, session } = live;
    const payload = encodeMessage('birth', { id: settings.newId('msg'), session, body: settings.birth() });
    await connection.publish(upTopic(deviceId, 'birth'), payload, { retain: true });
  }

  /** Says what holds at this moment and is worth nothing later. */
  function sayNow<K extends 'conditions' | 'progress'>(kind: K, body: MessageBody<K>, qos: 0 | 1): void {
    if (!live) return;
    const { connection, session } = live;
    const payload = encodeMessage(kind, { id: settings.newId('msg'), session, body });
    connection
      .publish(upTopic(deviceId, kind), payload, { retain: false, qos })
      .catch((error: unknown) => log.debug({ kind, reason: messageOf(error) }, 'a message was not sent'));
  }

  const deathMessage = (session: number): string =>
    encodeMessage('death', { id: settings.newId('msg'), session, body: {} });

  async function holdOneConnection(): Promise<void> {
    const token = await settings.session.token();
    const session = await nextSessionNumber(settings.sessionFile);
    const connection = await openMqttConnection({
      url: settings.mqttUrl,
      deviceId,
      token,
      will: { topic: upTopic(deviceId, 'death'), payload: deathMessage(session) },
      subscription: downFilter(deviceId),
      onMessage: receive,
      connectTimeoutMs: timing.connectTimeoutMs,
    }).catch((error: unknown) => {
      if (isCoded(error, 'UNAUTHENTICATED')) settings.session.drop(token);
      throw error;
    });
    if (stopping.signal.aborted) return connection.end();
    live = { connection, session };
    sentAtMs.clear();
    settings.onConnection?.();
    const resend = setInterval(pump, Math.max(10, timing.ackTimeoutMs / 4));
    try {
      await sayBirth();
      // Not before: a broker that takes the connection and refuses the birth is no success.
      backoff.reset();
      connections++;
      lastError = null;
      log.info({ session }, `connected to ${settings.mqttUrl}`);
      pump();
      await connection.closed;
    } finally {
      clearInterval(resend);
      live = null;
      await connection.end();
    }
    if (!stopping.signal.aborted) log.warn({ session }, 'the connection to the coordinator was lost');
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await holdOneConnection();
      } catch (error) {
        lastError = messageOf(error);
        trouble.warn({ reason: lastError }, 'no connection to the coordinator; trying again');
      }
      if (!stopping.signal.aborted) await pause(backoff.nextMs(), [stopping.signal]);
    }
  }

  const running = run();
  return {
    async send(kind, body) {
      await outbox.add(kind, body);
      pump();
    },
    flush: pump,
    tell: (conditions) => sayNow('conditions', conditions, 1),
    // At most once [MQTT-4.3.1]: a heartbeat that comes late says the wrong thing, and the next is near.
    tellProgress: (progress) => sayNow('progress', progress, 0),
    announce() {
      sayBirth().catch((error: unknown) => log.debug({ reason: messageOf(error) }, 'the birth was not sent'));
    },
    state: () => ({ connected: live !== null, connections, droppedMessages, lastError }),
    async stop() {
      stopping.abort();
      if (live) {
        const { connection, session } = live;
        await connection
          .publish(upTopic(deviceId, 'death'), deathMessage(session), { retain: false })
          .catch(() => {});
        await connection.end();
      }
      await running;
    },
  };
}

function encodeEntry(entry: OutboxEntry, session: number): string {
  return entry.kind === 'result'
    ? encodeMessage('result', { id: entry.id, session, body: entry.body })
    : encodeMessage('report', { id: entry.id, session, body: entry.body });
}
