import { CodedError } from '@fleetlora/shared/errors';
import { connect, type ErrorWithReasonCode, type MqttClient } from 'mqtt';

/** One MQTT 3.1.1 connection from its CONNACK to its end. It is never reused. */
export interface MqttConnection {
  /**
   * Resolves on the broker's PUBACK, with QoS 0 once it is written; rejects when the connection
   * ends first. QoS 1 when absent.
   */
  publish(
    topic: string,
    payload: string,
    options: { readonly retain: boolean; readonly qos?: 0 | 1 },
  ): Promise<void>;
  /** Resolves when the connection is over, for whatever reason. */
  readonly closed: Promise<void>;
  /** DISCONNECT, so that the broker does not send the will. */
  end(): Promise<void>;
}

export interface MqttConnectionSettings {
  readonly url: string;
  readonly deviceId: string;
  readonly token: string;
  readonly will: { readonly topic: string; readonly payload: string };
  readonly subscription: string;
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  readonly connectTimeoutMs: number;
}

/**
 * Broker and device notice a dead peer after at most one and a half of this.
 * @source MQTT 3.1.1, 3.1.2.10 Keep Alive
 */
const KEEP_ALIVE_SECONDS = 20;
const GOODBYE_MS = 2000;

/**
 * Connects with a clean session and subscribes; both belong together, as nothing of an earlier
 * session is relied upon.
 * @throws UNAUTHENTICATED when the broker refuses the token or the subscription,
 *   COORDINATOR_UNREACHABLE when there is no broker
 * @source MQTT 3.1.1, 3.2.2.3 (return codes 4 and 5), 3.9.3 (SUBACK 0x80)
 */
export async function openMqttConnection(settings: MqttConnectionSettings): Promise<MqttConnection> {
  const client = connect(settings.url, {
    protocolVersion: 4,
    clean: true,
    clientId: settings.deviceId,
    username: settings.deviceId,
    password: settings.token,
    keepalive: KEEP_ALIVE_SECONDS,
    connectTimeout: settings.connectTimeoutMs,
    // A new connection needs a new session number in its will, so each gets a client of its own.
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    will: { ...settings.will, payload: Buffer.from(settings.will.payload), qos: 1, retain: false },
  });
  client.on('message', (topic, payload) => settings.onMessage(topic, payload));
  let over = false;
  const closed = new Promise<void>((resolve) =>
    client.once('close', () => {
      over = true;
      resolve();
    }),
  );
  try {
    await untilConnected(client, settings);
    disableNagle(client);
    await subscribe(client, settings, closed);
  } catch (error) {
    client.on('error', () => {});
    client.end(true);
    throw error;
  }
  // An error event of a live connection is followed by `close`, which the owner waits for.
  client.on('error', () => {});
  return {
    closed,
    publish: (topic, payload, { retain, qos = 1 }) =>
      unlessClosed(
        closed,
        new Promise<void>((resolve, reject) => {
          client.publish(topic, payload, { qos, retain }, (error) => (error ? reject(error) : resolve()));
        }),
      ),
    async end() {
      // A graceful end waits for outstanding PUBACKs, which a dead connection never brings.
      if (!over) {
        const goodbye = new Promise<void>((resolve) => client.end(false, {}, () => resolve()));
        const patience = setTimeout(() => client.end(true), GOODBYE_MS);
        await Promise.race([goodbye, closed]);
        clearTimeout(patience);
      }
      client.end(true);
    },
  };
}

function untilConnected(client: MqttClient, { url }: MqttConnectionSettings): Promise<void> {
  return new Promise((resolve, reject) => {
    let reason: Error | null = null;
    const onError = (error: Error | ErrorWithReasonCode): void => {
      reason = error;
      const code = (error as Partial<ErrorWithReasonCode>).code;
      if (code === 4 || code === 5)
        reject(new CodedError('UNAUTHENTICATED', `${url} refuses this device's token`, { cause: error }));
    };
    client.on('error', onError);
    client.once('close', () =>
      reject(
        new CodedError(
          'COORDINATOR_UNREACHABLE',
          `${url} is not reachable: ${reason?.message || 'it closed the connection'}`,
          {
            cause: reason,
          },
        ),
      ),
    );
    client.once('connect', () => {
      client.off('error', onError);
      resolve();
    });
  });
}

/** With Nagle on, a round trip of two small packets waits 40 ms for a delayed acknowledgement. */
function disableNagle(client: MqttClient): void {
  const stream = client.stream as { setNoDelay?: (on: boolean) => void };
  stream.setNoDelay?.(true);
}

function subscribe(
  client: MqttClient,
  settings: MqttConnectionSettings,
  closed: Promise<void>,
): Promise<void> {
  return unlessClosed(
    closed,
    new Promise<void>((resolve, reject) => {
      client.subscribe(settings.subscription, { qos: 1 }, (error, granted) => {
        const refused = granted?.find(({ qos }) => qos === 128);
        if (!error && !refused) return resolve();
        reject(
          new CodedError(
            'UNAUTHENTICATED',
            `${settings.url} refuses the subscription ${settings.subscription}`,
            {
              cause: error,
            },
          ),
        );
      });
    }),
  );
}

/** MQTT.js keeps the callbacks of a lost connection for a reconnect that never comes here. */
function unlessClosed<T>(closed: Promise<void>, work: Promise<T>): Promise<T> {
  return Promise.race([
    work,
    closed.then(() => {
      throw new CodedError('COORDINATOR_UNREACHABLE', 'the connection to the broker ended');
    }),
  ]);
}
