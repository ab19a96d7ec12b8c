import type { Validator } from 'typebox/compile';
import { Errors } from 'typebox/schema';
import { narrowUnions } from './narrow-unions.js';

/** Longest text that is repeated in an error as it is. */
const MAX_QUOTED = 64;

/**
 * Where a value first fails its schema, what was wanted there and what was found:
 * "/layers/3 must be integer, found 1.5". Of a union whose members can be told apart the member
 * counts that the value means to be.
 * @param whole names the value itself, for a failure at its top level
 */
export function describeMismatch(check: Validator, value: unknown, whole: string): string {
  const [, errors] = Errors(narrowUnions(check.Type(), value), value);
  const [first] = errors;
  if (!first) return `${whole} does not fit the schema`;
  const place = first.instancePath || whole;
  const found = describeFound(at(value, first.instancePath));
  switch (first.keyword) {
    // In a closed object every field that is not listed has the schema `false`.
    case 'boolean':
      return `${place} is not a known field`;
    case 'required':
      return `${place} ${first.message}`;
    case 'const':
      return `${place} must be ${JSON.stringify(first.params.allowedValue)}, found ${found}`;
    case 'enum': {
      const allowed = first.params.allowedValues.map((value) => JSON.stringify(value));
      return `${place} must be ${allowed.length > 1 ? 'one of ' : ''}${allowed.join(', ')}, found ${found}`;
    }
    default:
      return `${place} ${first.message}, found ${found}`;
  }
}

/** The part of a value at a JSON pointer. @source RFC 6901, section 4 */
function at(value: unknown, pointer: string): unknown {
  let part = value;
  for (const key of pointer.split('/').slice(1))
    part = (part as Record<string, unknown> | null | undefined)?.[
      key.replaceAll('~1', '/').replaceAll('~0', '~')
    ];
  return part;
}

function describeFound(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'string' && value.length > MAX_QUOTED) return `${value.length} characters`;
  return JSON.stringify(value) ?? 'nothing';
}
