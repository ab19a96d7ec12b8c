import { createPublicKey, verify } from 'node:crypto';
import { CodedError } from '@fleetlora/shared/errors';
import { parseAs, ReleaseManifest, SignedManifest } from '@fleetlora/shared/protocol';

/**
 * The manifest inside a signed one, once the signature holds under the key that was pinned when
 * the device enrolled. Nothing of the manifest is read before that.
 * @param signedText JSON of a SignedManifest; the signature covers its `manifest` text in UTF-8
 * @param releaseKey Ed25519 SPKI DER, base64
 * @throws SIGNATURE_INVALID, MESSAGE_MALFORMED
 */
export function verifyManifest(signedText: string, releaseKey: string): ReleaseManifest {
  const signed = parseAs(SignedManifest, parseJson(signedText, 'signed manifest'), 'signed manifest');
  const key = createPublicKey({ key: Buffer.from(releaseKey, 'base64'), type: 'spki', format: 'der' });
  const holds = verify(
    null,
    Buffer.from(signed.manifest, 'utf8'),
    key,
    Buffer.from(signed.signature, 'base64'),
  );
  if (!holds)
    throw new CodedError(
      'SIGNATURE_INVALID',
      `the manifest is signed by key ${signed.keyId.slice(0, 16)}…, not by the release key pinned at enrolment`,
    );
  return parseAs(ReleaseManifest, parseJson(signed.manifest, 'release manifest'), 'release manifest');
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CodedError('MESSAGE_MALFORMED', `the ${what} is not JSON`, { cause });
  }
}
