import type { Clock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { type CodeCreate, type Enroll, enrolmentBytes } from '@fleetlora/shared/protocol';
import { isSignedBy, readDeviceKey } from './device-key.js';
import { chooseDeviceName, deriveDeviceClass } from './device-name.js';
import { hashCode, makeCode } from './enrolment-code.js';
import type { EnrolledDevice, IdentityStore } from './ports.js';

/** A code that nobody asked otherwise for lasts a day: long enough to walk to a board. */
const DEFAULT_TTL_SECONDS = 24 * 3600;

export interface Enrolment {
  /** A new one-use code; this is the only time it can be read. */
  createCode(request: CodeCreate): Promise<{ code: string; expiresAtMs: number }>;
  /**
   * Enrols a device: its key, proved to be its own, is bound to a new id. A device that repeats
   * the same request (its answer was lost) gets the same id again.
   * @throws CODE_UNKNOWN, CODE_EXPIRED, CODE_USED, BAD_REQUEST (key), SIGNATURE_INVALID (proof),
   * ALREADY_EXISTS (the key is enrolled by another code)
   */
  enroll(request: Enroll): Promise<EnrolledDevice>;
}

export function createEnrolment(options: {
  store: IdentityStore;
  clock: Clock;
  newId: (prefix: string) => string;
}): Enrolment {
  const { store, clock, newId } = options;
  return {
    async createCode({ ttlSeconds = DEFAULT_TTL_SECONDS, deviceClass = null }) {
      const code = makeCode();
      const createdAtMs = clock.nowMs();
      const expiresAtMs = createdAtMs + ttlSeconds * 1000;
      await store.codes.insert({
        hash: hashCode(code),
        deviceClass,
        createdAtMs,
        expiresAtMs,
        deviceId: null,
      });
      return { code, expiresAtMs };
    },

    async enroll(request) {
      const key = readDeviceKey(request.publicKey);
      if (!isSignedBy(key, enrolmentBytes(request.code, request.publicKey), request.proof))
        throw new CodedError('SIGNATURE_INVALID', 'proof is not a signature of this request by publicKey');
      const hash = hashCode(request.code);
      return store.transact(async ({ codes, devices }) => {
        const code = await codes.find(hash);
        if (code === null)
          throw new CodedError(
            'CODE_UNKNOWN',
            'the enrolment code is not known here, check it or create a new one',
          );
        const known = await devices.findByPublicKey(request.publicKey);
        if (known !== null && code.deviceId === known.id) return known;
        if (code.deviceId !== null)
          throw new CodedError(
            'CODE_USED',
            `the enrolment code was used by ${code.deviceId}, create a new one`,
          );
        if (clock.nowMs() >= code.expiresAtMs)
          throw new CodedError(
            'CODE_EXPIRED',
            `the enrolment code expired at ${new Date(code.expiresAtMs).toISOString()}, create a new one`,
          );
        if (known !== null)
          throw new CodedError('ALREADY_EXISTS', `this key is enrolled as ${known.id} (${known.name})`);
        const device: EnrolledDevice = {
          id: newId('dev'),
          name: await chooseDeviceName(request.name ?? request.facts.hostname, devices.isNameTaken),
          deviceClass: code.deviceClass ?? deriveDeviceClass(request.facts),
          publicKey: request.publicKey,
          facts: request.facts,
          enrolledAtMs: clock.nowMs(),
        };
        await devices.insertEnrolled(device);
        await codes.markUsed(hash, device.id);
        return device;
      });
    },
  };
}
