/** A part of a blob: first and last byte, both included. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * The part of a blob that a Range header asks for: null for the whole blob (no header, another
 * unit, several ranges or nonsense, all of which a server may ignore), `unsatisfiable` when it
 * begins behind the end.
 * @param size length of the blob in bytes
 * @source RFC 9110 sections 14.1.1, 14.1.2 and 14.2
 */
export function parseRange(header: string | undefined, size: number): ByteRange | null | 'unsatisfiable' {
  const [, from, to] = /^bytes=(\d{0,16})-(\d{0,16})$/.exec(header?.replace(/\s/g, '') ?? '') ?? [];
  if (from === undefined || to === undefined || (from === '' && to === '')) return null;
  if (from === '') {
    const count = Number(to);
    if (count === 0 || size === 0) return 'unsatisfiable';
    return { first: Math.max(0, size - count), last: size - 1 };
  }
  const first = Number(from);
  if (to !== '' && Number(to) < first) return null;
  if (first >= size) return 'unsatisfiable';
  return { first, last: to === '' ? size - 1 : Math.min(Number(to), size - 1) };
}
