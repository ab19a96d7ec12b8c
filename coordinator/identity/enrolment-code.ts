import { createHash, randomInt } from 'node:crypto';

/** Crockford's base 32: no I, L, O or U, so a code survives being read aloud or typed. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const LENGTH = 16;

/** A code of 80 random bits, as people see it: four groups of four, "7K2M-…". */
export function makeCode(): string {
  const letters = Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]);
  return (letters.join('').match(/.{4}/g) as string[]).join('-');
}

/**
 * What of a code is stored: SHA-256 of its normal form (upper case, no separators, the letters that
 * are mistaken for digits replaced), in hex.
 */
export function hashCode(code: string): string {
  const normal = code.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
  return createHash('sha256').update(normal).digest('hex');
}
