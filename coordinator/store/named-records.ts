import { CodedError } from '@fleetlora/shared/errors';

/**
 * Of the records whose id or name is the given text, the one that was meant: an id wins over
 * another record that took this id as its name.
 */
export function pickNamed<R extends { readonly id: string }>(rows: readonly R[], idOrName: string): R | null {
  return rows.find(({ id }) => id === idOrName) ?? rows[0] ?? null;
}

/**
 * Turns "nothing was inserted" (the insert met a unique index and did nothing) into an error.
 * @throws ALREADY_EXISTS
 */
export function requireInserted(rows: readonly unknown[], what: string): void {
  if (rows.length === 0)
    throw new CodedError('ALREADY_EXISTS', `${what} exists already, choose another name`);
}
