import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { SettingsRepository } from './ports.js';

const SETTING = 'admin-token-sha256';

export interface AdminToken {
  /** The token itself when this start made it, else null: only its hash is kept. */
  readonly made: string | null;
  /** True for the admin token; takes the same time for any wrong one. */
  matches(token: string): boolean;
}

/**
 * Makes the admin token at the first start and remembers its hash. SHA-256 without salt or
 * stretching is enough, because the token is 256 random bits, not a password.
 * @param handOver gives a new token to its owner. It comes before the hash is stored: a crash
 * between the two leaves no token that counts but nobody knows, and the next start makes another.
 */
export async function openAdminToken(
  settings: SettingsRepository,
  handOver: (token: string) => Promise<void>,
): Promise<AdminToken> {
  const known = await settings.read(SETTING);
  if (known !== null) return adminToken(Buffer.from(known, 'hex'), null);
  const token = `fla_${randomBytes(32).toString('base64url')}`;
  await handOver(token);
  const hash = sha256(token);
  await settings.insert(SETTING, hash.toString('hex'));
  return adminToken(hash, token);
}

function adminToken(hash: Buffer, made: string | null): AdminToken {
  return { made, matches: (given) => timingSafeEqual(sha256(given), hash) };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
