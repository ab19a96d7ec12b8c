import { Type } from 'typebox';

/** Building blocks of messages: every string and number has a ceiling. */
export const Digest = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256, lower-case hex' });
export const Id = Type.String({ pattern: '^[a-z]{2,5}_[0-9a-z]{10,40}$', description: 'prefix_ulid' });
export const Name = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$' });
export const ShortText = Type.String({ maxLength: 256 });
export const LongText = Type.String({ maxLength: 4000 });
export const GenomeText = Type.String({
  pattern: '^(g1:[um]:[0-9./]{9,3500}|g2:[um]:(fp32|q8|q4):[0-9./-]{1,3500})$',
  maxLength: 3600,
});
export const Base64 = Type.String({ pattern: '^[A-Za-z0-9+/]{4,1024}={0,2}$', maxLength: 1100 });
export const Bytes = Type.Integer({ minimum: 0, maximum: 2 ** 50 });
export const Milliseconds = Type.Number({ minimum: 0, maximum: 1e8 });
export const TimeMs = Type.Integer({ minimum: 0, maximum: 1e14, description: 'ms since 1970' });
export const TokenIds = Type.Array(Type.Integer({ minimum: 0, maximum: 2 ** 24 }), { maxItems: 8192 });
export const closed = { additionalProperties: false } as const;
/** A value, or null where there is none (yet). */
export const Nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) =>
  Type.Union([schema, Type.Null()]);
