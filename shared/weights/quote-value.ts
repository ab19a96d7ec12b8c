/** Most characters of a stranger's value in a message. */
const MAX_QUOTED = 80;
/** Entries of a list or object that are shown; what lies deeper than its entries is not. */
const SHOWN = 6;

/**
 * A stranger's JSON value for a message: at most 80 characters, whatever its size or depth.
 * JSON.stringify and String() recurse, so a deep enough value would bring them down.
 */
export function quoteValue(value: unknown): string {
  return cut(Array.isArray(value) ? quoteList(value) : isObject(value) ? quoteObject(value) : quote(value));
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const cut = (text: string): string => (text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED - 1)}…` : text);

function quote(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(cut(value));
  if (Array.isArray(value)) return value.length === 0 ? '[]' : '[…]';
  if (isObject(value)) return '{…}';
  return value === undefined ? 'missing' : String(value);
}

function quoteList(list: readonly unknown[]): string {
  const shown = list.slice(0, SHOWN).map(quote).join(',');
  return list.length > SHOWN ? `[${shown},… ${list.length} in all]` : `[${shown}]`;
}

function quoteObject(value: object): string {
  const entries: string[] = [];
  for (const key in value) {
    if (entries.length === SHOWN) return `{${entries.join(',')},…}`;
    entries.push(`${quote(key)}:${quote((value as Record<string, unknown>)[key])}`);
  }
  return `{${entries.join(',')}}`;
}
