import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { CodedError } from '@fleetlora/shared/errors';

/**
 * A device's public key.
 * @param base64 SPKI DER
 * @throws BAD_REQUEST unless it is a P-256 key in its one canonical encoding
 */
export function readDeviceKey(base64: string): KeyObject {
  const der = Buffer.from(base64, 'base64');
  let key: KeyObject;
  try {
    key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new CodedError('BAD_REQUEST', 'publicKey is not a public key in SPKI DER form', { cause });
  }
  const found = `${key.asymmetricKeyType} ${key.asymmetricKeyDetails?.namedCurve ?? ''}`.trim();
  if (found !== 'ec prime256v1')
    throw new CodedError('BAD_REQUEST', `publicKey is of kind ${found}, wanted ec prime256v1 (P-256)`);
  // One key has one text, so that uniqueness of keys can be left to the database.
  if (key.export({ format: 'der', type: 'spki' }).toString('base64') !== base64)
    throw new CodedError(
      'BAD_REQUEST',
      'publicKey is not in canonical form (uncompressed point, padded base64)',
    );
  return key;
}

/** True when `signature` (base64, IEEE P1363, ECDSA with SHA-256) over the bytes was made by the key. */
export function isSignedBy(key: KeyObject, bytes: Uint8Array, signature: string): boolean {
  try {
    return verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}
