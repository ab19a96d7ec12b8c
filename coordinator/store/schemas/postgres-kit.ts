import { bigint, customType, doublePrecision, index, pgTable, uniqueIndex } from 'drizzle-orm/pg-core';
import type { TableKit } from './kit.js';

/**
 * Text as PostgreSQL can hold it. It has no NUL character and no half of a surrogate pair, which a
 * device or a file may well send: each becomes U+FFFD, as in any text that cannot be decoded.
 */
export function toStorableText(text: string): string {
  // With the flag u, a pair is one code point: what is left of \p{Surrogate} are halves.
  return text.replace(/\0|\p{Surrogate}/gu, '\ufffd');
}

/** As JSON; the same for the strings inside. */
function toStorableJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'string' ? toStorableText(inner) : inner,
  );
}

const text = customType<{ data: string; driverData: string }>({
  dataType: () => 'text',
  toDriver: toStorableText,
});
const jsonb = customType<{ data: unknown; driverData: unknown }>({
  dataType: () => 'jsonb',
  toDriver: toStorableJson,
});

/**
 * The table kit for PostgreSQL. Repositories are typed by the SQLite side; the builders below give
 * rows of the same JavaScript shape (bigint read as number, jsonb as a value), so the kit is cast
 * here, once.
 */
export const postgresKit = {
  table: pgTable,
  index,
  uniqueIndex,
  text: (name: string) => text(name),
  int: (name: string) => bigint(name, { mode: 'number' }),
  real: (name: string) => doublePrecision(name),
  json: <T>(name: string) => jsonb(name).$type<T>(),
} as unknown as TableKit;
