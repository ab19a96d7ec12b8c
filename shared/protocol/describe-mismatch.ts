import type { Validator } from 'typebox/compile';

/**
 * Where a value first fails its schema, and what was wanted there: "/layers/3 must be integer".
 * @param whole names the value itself, for a failure at its top level
 */
export function describeMismatch(check: Validator, value: unknown, whole: string): string {
  const [first] = check.Errors(value);
  if (!first) return `${whole} does not fit the schema`;
  const place = first.instancePath || whole;
  switch (first.keyword) {
    // In a closed object every field that is not listed has the schema `false`.
    case 'boolean':
      return `${place} is not a known field`;
    case 'const':
      return `${place} must be ${JSON.stringify(first.params.allowedValue)}`;
    default:
      return `${place} ${first.message}`;
  }
}
