import { CodedError, type ErrorCode, messageOf } from '../errors.js';

/** What a JSON text of a stranger may be, so that its value takes a known multiple of its bytes. */
export interface JsonCeilings {
  /** Nested lists and objects. */
  readonly depth: number;
  /** Values, counted by the characters that separate or enclose them. */
  readonly values: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
/** The opening brackets; what closes them is 2 above. */
const LIST = 0x5b;
const OBJECT = 0x7b;
const CLOSER = 2;

/**
 * The value of a JSON text, whose nesting and number of values are counted before it is parsed: a
 * text of nothing but brackets takes fifty times its own memory, a recursive reader's stack too.
 * @param place.what names the text in messages
 * @param place.offset of the text in its file
 * @throws `place.code` for what is too deep, has too many values, is not UTF-8 or not JSON, naming
 *   the offset
 */
export function parseJson(
  bytes: Uint8Array,
  place: { readonly what: string; readonly offset: number; readonly code: ErrorCode },
  ceilings: JsonCeilings,
): unknown {
  const { what, offset, code } = place;
  checkCeilings(bytes, place, ceilings);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CodedError(
      code,
      `${what}, bytes ${offset} to ${offset + bytes.length - 1}, is not JSON: ${messageOf(cause).slice(0, 100)}`,
      { cause },
    );
  }
}

function checkCeilings(
  bytes: Uint8Array,
  { what, offset, code }: { readonly what: string; readonly offset: number; readonly code: ErrorCode },
  ceilings: JsonCeilings,
): void {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA) values++;
    else if (byte === LIST + CLOSER || byte === OBJECT + CLOSER) depth--;
    else if (byte === LIST || byte === OBJECT) {
      values++;
      depth++;
    } else continue;
    if (depth > ceilings.depth)
      throw new CodedError(
        code,
        `${what} is nested ${depth} deep at byte ${offset + at}, at most ${ceilings.depth} is allowed`,
      );
    if (values > ceilings.values)
      throw new CodedError(
        code,
        `${what} has ${values} values up to byte ${offset + at}, at most ${ceilings.values} are allowed`,
      );
  }
}

/** Where the string that starts at `start` ends; the end of the text when it does not. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    if (bytes[at] === BACKSLASH) at++;
    else if (bytes[at] === QUOTE) return at;
  }
  return bytes.length;
}
