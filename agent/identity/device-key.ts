import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CodedError } from '@fleetlora/shared/errors';
import { writeSecretFile } from './secret-file.js';

/** A device's own key. The private half never leaves the device. */
export interface DeviceKey {
  /** P-256 SPKI DER, base64. */
  readonly publicKey: string;
  /** ECDSA with SHA-256 in IEEE P1363 form, base64. */
  sign(bytes: Uint8Array): string;
}

/**
 * The key in `path`; made and written with mode 0600 when there is none yet, so that an
 * enrolment that was cut off goes on with the same key.
 * @throws STATE_CONFLICT when the file holds something else than a P-256 key
 */
export async function loadOrCreateDeviceKey(path: string): Promise<DeviceKey> {
  const found = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found !== null) return deviceKeyOf(parseKey(found, path));
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeSecretFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  return deviceKeyOf(privateKey);
}

function parseKey(pem: string, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new CodedError('STATE_CONFLICT', `${path} does not hold a private key in PEM form`, { cause });
  }
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (curve !== 'prime256v1')
    throw new CodedError(
      'STATE_CONFLICT',
      `${path} holds a ${curve ?? key.asymmetricKeyType} key, wanted P-256`,
    );
  return key;
}

function deviceKeyOf(privateKey: KeyObject): DeviceKey {
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).toString('base64');
  return {
    publicKey,
    sign: (bytes) => sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64'),
  };
}
