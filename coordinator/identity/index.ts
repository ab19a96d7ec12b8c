import type { Clock } from '@fleetlora/shared/clock';
import { type AdminToken, openAdminToken } from './admin-token.js';
import { createDeviceSessions, type DeviceSessions } from './device-sessions.js';
import { createEnrolment, type Enrolment } from './enrolment.js';
import type { IdentityStore } from './ports.js';
import { openReleaseKey, type ReleaseKey } from './release-key.js';

export type { AdminToken } from './admin-token.js';
export { deriveDeviceClass } from './device-name.js';
export { createDeviceSessions, type DeviceSessions } from './device-sessions.js';
export type { Enrolment } from './enrolment.js';
export type * from './ports.js';
export { openReleaseKey, type ReleaseKey } from './release-key.js';

/** Who may do what: people by the admin token, devices by their key, releases by a signature. */
export interface Identity {
  readonly admin: AdminToken;
  readonly enrolment: Enrolment;
  readonly sessions: DeviceSessions;
  readonly releaseKey: ReleaseKey;
}

/**
 * @param options.releaseKeyPath PEM file of the release key, made when missing
 * @param options.handOverToken gives a new admin token to its owner, before its hash is stored
 */
export async function openIdentity(options: {
  store: IdentityStore;
  clock: Clock;
  newId: (prefix: string) => string;
  releaseKeyPath: string;
  handOverToken: (token: string) => Promise<void>;
}): Promise<Identity> {
  const { store, clock, newId } = options;
  return {
    admin: await openAdminToken(store.settings, options.handOverToken),
    enrolment: createEnrolment({ store, clock, newId }),
    sessions: createDeviceSessions({ devices: store.devices, clock }),
    releaseKey: await openReleaseKey(options.releaseKeyPath),
  };
}
