import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { sessionBytes } from '@fleetlora/shared/protocol';
import { isSignedBy, readDeviceKey } from './device-key.js';
import type { DeviceRegistry } from './ports.js';

/** Time to sign a nonce and send it back over a slow link. */
const CHALLENGE_TTL_MS = 60_000;
/** Nonces waiting for their answer; anyone may ask for one, so the oldest gives way. */
const CHALLENGES_AT_MOST = 10_000;
/** A device opens a new session when it connects; a day covers the longest artifact download. */
const SESSION_TTL_SECONDS = 24 * 3600;
/** Tokens of one device at a time; an agent uses one, and one more while it renews. */
const SESSIONS_PER_DEVICE = 4;

export interface DeviceSessions {
  /** A nonce to sign. Asked for an unknown device it gives one too, so nothing is told about ids. */
  challenge(deviceId: string): { nonce: string };
  /**
   * A token in return for the signed nonce.
   * @throws UNAUTHENTICATED when nonce, device or signature do not fit together
   */
  open(request: {
    deviceId: string;
    nonce: string;
    signature: string;
  }): Promise<{ token: string; expiresInSeconds: number }>;
  /** The device a token belongs to, or null. */
  deviceOf(token: string): string | null;
}

/**
 * Sessions of devices, proved by their key. They live in memory only: after a restart of the
 * coordinator a device simply opens a new one.
 */
export function createDeviceSessions(options: {
  devices: Pick<DeviceRegistry, 'findEnrolled'>;
  clock: Clock;
}): DeviceSessions {
  const { devices, clock } = options;
  /** Nonce → what it was given for. Insertion order is age. */
  const challenges = new Map<string, { deviceId: string; expiresAtMs: number }>();
  /** SHA-256 of a token → its session, so that a memory dump or a timing holds no usable token. */
  const sessions = new Map<string, { deviceId: string; expiresAtMs: number }>();

  /** Device → hashes of its last tokens, oldest first. */
  const hashesOf = new Map<string, string[]>();

  return {
    challenge(deviceId) {
      for (const [nonce, { expiresAtMs }] of challenges) {
        if (expiresAtMs > clock.monotonicMs() && challenges.size < CHALLENGES_AT_MOST) break;
        challenges.delete(nonce);
      }
      const nonce = randomBytes(32).toString('base64url');
      challenges.set(nonce, { deviceId, expiresAtMs: clock.monotonicMs() + CHALLENGE_TTL_MS });
      return { nonce };
    },

    async open({ deviceId, nonce, signature }) {
      const challenge = challenges.get(nonce);
      // A nonce serves once, whether or not the answer is right.
      challenges.delete(nonce);
      const device = await devices.findEnrolled(deviceId);
      const fits =
        challenge?.deviceId === deviceId &&
        challenge.expiresAtMs > clock.monotonicMs() &&
        device !== null &&
        isSignedBy(readDeviceKey(device.publicKey), sessionBytes(deviceId, nonce), signature);
      if (!fits)
        throw new CodedError(
          'UNAUTHENTICATED',
          'the signed challenge does not fit the device, ask for a new challenge',
        );
      const token = `fld_${randomBytes(32).toString('base64url')}`;
      const hash = hashToken(token);
      const own = [...(hashesOf.get(deviceId) ?? []), hash];
      for (const old of own.splice(0, Math.max(0, own.length - SESSIONS_PER_DEVICE))) sessions.delete(old);
      hashesOf.set(deviceId, own);
      sessions.set(hash, { deviceId, expiresAtMs: clock.monotonicMs() + SESSION_TTL_SECONDS * 1000 });
      return { token, expiresInSeconds: SESSION_TTL_SECONDS };
    },

    deviceOf(token) {
      const hash = hashToken(token);
      const session = sessions.get(hash);
      if (session === undefined) return null;
      if (session.expiresAtMs > clock.monotonicMs()) return session.deviceId;
      sessions.delete(hash);
      return null;
    },
  };
}

function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
