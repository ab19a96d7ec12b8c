import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileDurably } from '@fleetlora/shared/node';
import type { SignedManifest } from '@fleetlora/shared/protocol';

export interface ReleaseKey {
  /** Ed25519 SPKI DER, base64: what a device pins at enrolment. */
  readonly publicKey: string;
  /** SHA-256 of the SPKI DER, hex. */
  readonly keyId: string;
  /** Signs the exact text of a manifest. */
  sign(manifest: string): Promise<SignedManifest>;
}

/** Reads the coordinator's Ed25519 release key from a PEM file of mode 0600, made when missing. */
export async function openReleaseKey(path: string): Promise<ReleaseKey> {
  const key = (await readKey(path)) ?? (await makeKey(path));
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const keyId = createHash('sha256').update(spki).digest('hex');
  return {
    publicKey: spki.toString('base64'),
    keyId,
    async sign(manifest) {
      const signature = sign(null, Buffer.from(manifest, 'utf8'), key).toString('base64');
      return { keyId, manifest, signature };
    },
  };
}

async function readKey(path: string): Promise<KeyObject | null> {
  try {
    return createPrivateKey(await readFile(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function makeKey(path: string): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync('ed25519');
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  await writeFileDurably(path, privateKey.export({ format: 'pem', type: 'pkcs8' }), 0o600);
  return privateKey;
}
