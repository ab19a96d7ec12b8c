import { Challenge, parseAs, Session, sessionBytes } from '@fleetlora/shared/protocol';
import { postJson } from './coordinator-client.js';
import type { DeviceKey } from './device-key.js';

/**
 * The device's token at its coordinator: MQTT password and bearer of downloads. The coordinator
 * keeps tokens in memory only, so any of them may be refused at any time; whoever sees a refusal
 * calls `drop` and asks again.
 */
export interface SessionKeeper {
  /** The present token, opened by challenge and response when there is none. */
  token(): Promise<string>;
  /** Forgets a token that was refused; a newer one stays. */
  drop(token: string): void;
}

export function createSessionKeeper(device: {
  readonly url: string;
  readonly deviceId: string;
  readonly key: DeviceKey;
}): SessionKeeper {
  let current: { opening: Promise<string>; token: string | null } | null = null;

  async function open(): Promise<string> {
    const { url, deviceId, key } = device;
    const challenge = await postJson(url, '/v1/device/challenge', { deviceId });
    const { nonce } = parseAs(Challenge, challenge, 'challenge');
    const session = await postJson(url, '/v1/device/session', {
      deviceId,
      nonce,
      signature: key.sign(sessionBytes(deviceId, nonce)),
    });
    return parseAs(Session, session, 'session').token;
  }

  return {
    token() {
      if (current === null) {
        const mine: { opening: Promise<string>; token: string | null } = { opening: open(), token: null };
        current = mine;
        mine.opening.then(
          (token) => {
            mine.token = token;
          },
          () => {
            if (current === mine) current = null;
          },
        );
      }
      return current.opening;
    },
    drop(token) {
      if (current?.token === token) current = null;
    },
  };
}
