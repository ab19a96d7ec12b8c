import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { CodedError } from '../errors.js';
import { describeMismatch } from './describe-mismatch.js';

const compiled = new WeakMap<TSchema, Validator>();

/**
 * The value, once it fits the schema.
 * @param what names the value in the error, for example "release manifest"
 * @throws MESSAGE_MALFORMED naming the field and the reason
 */
export function parseAs<S extends TSchema>(schema: S, value: unknown, what: string): Static<S> {
  let check = compiled.get(schema);
  if (!check) {
    check = Compile(schema) as unknown as Validator;
    compiled.set(schema, check);
  }
  if (!check.Check(value))
    throw new CodedError('MESSAGE_MALFORMED', `${what}: ${describeMismatch(check, value, 'the value')}`);
  return value as Static<S>;
}
