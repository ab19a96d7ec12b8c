import type { ErrorCode } from '@fleetlora/shared/errors';

/**
 * Pattern for `t.rejects` and `t.throws`: a CodedError of this code whose message contains all the
 * words (found and wanted values), in any order.
 */
export function coded(code: ErrorCode, ...words: readonly (string | number)[]) {
  const escaped = words.map((word) => String(word).replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return { code, message: new RegExp(`^${escaped.map((word) => `(?=[^]*${word})`).join('')}`) };
}
