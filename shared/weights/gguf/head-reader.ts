import { CodedError } from '../../errors.js';

/** Numbers of the metadata; 64-bit ones beyond 2^53 stay whole. */
export type GgufScalar = number | bigint | boolean | string;
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;
export type GgufValue = GgufScalar | readonly string[] | GgufNumbers;

/** Thrown when what is in hand of the head ends too early; never leaves readGguf. */
export class HeadTooShort extends Error {}

interface NumberType {
  readonly bytes: number;
  readonly read: (view: DataView, at: number) => number | bigint | boolean;
  /** Over a buffer of its own, little-endian as the file is. */
  readonly list: (buffer: ArrayBuffer) => GgufNumbers;
}

const numberTypes: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [0, { bytes: 1, read: (v, at) => v.getUint8(at), list: (b) => new Uint8Array(b) }],
  [1, { bytes: 1, read: (v, at) => v.getInt8(at), list: (b) => new Int8Array(b) }],
  [2, { bytes: 2, read: (v, at) => v.getUint16(at, true), list: (b) => new Uint16Array(b) }],
  [3, { bytes: 2, read: (v, at) => v.getInt16(at, true), list: (b) => new Int16Array(b) }],
  [4, { bytes: 4, read: (v, at) => v.getUint32(at, true), list: (b) => new Uint32Array(b) }],
  [5, { bytes: 4, read: (v, at) => v.getInt32(at, true), list: (b) => new Int32Array(b) }],
  [6, { bytes: 4, read: (v, at) => v.getFloat32(at, true), list: (b) => new Float32Array(b) }],
  [7, { bytes: 1, read: (v, at) => v.getUint8(at) !== 0, list: (b) => new Uint8Array(b) }],
  [10, { bytes: 8, read: (v, at) => narrow(v.getBigUint64(at, true)), list: (b) => new BigUint64Array(b) }],
  [11, { bytes: 8, read: (v, at) => narrow(v.getBigInt64(at, true)), list: (b) => new BigInt64Array(b) }],
  [12, { bytes: 8, read: (v, at) => v.getFloat64(at, true), list: (b) => new Float64Array(b) }],
]);
const STRING = 8;
const ARRAY = 9;
/** A string is at least its length. */
const MIN_STRING_BYTES = 8;

const narrow = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;

/**
 * Reads the head of a GGUF file from its first bytes.
 * Invariant: nothing is read or allocated before its length was compared with what there
 * is, so the memory it takes is a small multiple of the bytes there are. Every method throws as `need`
 * does; `what` names, in errors, what is read.
 */
export class HeadReader {
  /** Absolute offset of what is read next. */
  offset = 0;
  readonly #view: DataView;
  readonly #text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  /**
   * @param bytes the first bytes of the file
   * @param fileBytes bytes of the whole file
   * @param ceiling bytes that a head may have
   */
  constructor(
    private readonly bytes: Uint8Array,
    private readonly fileBytes: number,
    private readonly ceiling: number,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** @throws GGUF_TRUNCATED past the end of the file, GGUF_HEADER past the ceiling, HeadTooShort past `bytes` */
  need(length: number, what: string): void {
    const end = this.offset + length;
    if (end > this.fileBytes)
      throw new CodedError(
        'GGUF_TRUNCATED',
        `${what} at offset ${this.offset} takes ${length} bytes, the file has ${this.fileBytes - this.offset} from there`,
      );
    if (end > this.ceiling)
      throw new CodedError(
        'GGUF_HEADER',
        `${what} at offset ${this.offset} ends at ${end}, the head may have ${this.ceiling} bytes`,
      );
    if (end > this.bytes.length) throw new HeadTooShort();
  }

  /** A little-endian u32. */
  u32(what: string): number {
    this.need(4, what);
    const value = this.#view.getUint32(this.offset, true);
    this.offset += 4;
    return value;
  }

  /** A u64 that counts or measures something. @throws GGUF_HEADER above 2^53 */
  count(what: string): number {
    this.need(8, what);
    const value = narrow(this.#view.getBigUint64(this.offset, true));
    if (typeof value === 'bigint')
      throw new CodedError(
        'GGUF_HEADER',
        `${what} at offset ${this.offset} is ${value}, more than any file holds`,
      );
    this.offset += 8;
    return value;
  }

  /**
   * A count of things that each take at least `leastBytes` of the head.
   * @throws GGUF_TRUNCATED or GGUF_HEADER for more of them than fit
   */
  countOf(what: string, leastBytes: number): number {
    const count = this.count(what);
    const from = this.offset;
    if (count * leastBytes > Math.min(this.fileBytes, this.ceiling) - from)
      throw new CodedError(
        count * leastBytes > this.fileBytes - from ? 'GGUF_TRUNCATED' : 'GGUF_HEADER',
        `${what} at offset ${from - 8} is ${count}, which take at least ${count * leastBytes} bytes; ` +
          `the file has ${this.fileBytes - from} from there, a head at most ${this.ceiling}`,
      );
    return count;
  }

  /** @throws GGUF_HEADER when it is not UTF-8 */
  string(what: string): string {
    const length = this.count(`length of ${what}`);
    this.need(length, what);
    try {
      return this.#text.decode(this.bytes.subarray(this.offset, this.offset + length));
    } catch (cause) {
      throw new CodedError('GGUF_HEADER', `${what} at offset ${this.offset} is not UTF-8`, { cause });
    } finally {
      this.offset += length;
    }
  }

  /** Type and value of a metadata entry. @throws GGUF_HEADER for a type that is not read */
  value(what: string): GgufValue {
    const typeAt = this.offset;
    const type = this.u32(`type of ${what}`);
    if (type === STRING) return this.string(what);
    if (type === ARRAY) return this.#list(what);
    const numbers = numberTypes.get(type);
    if (numbers === undefined) throw unknownType(what, type, typeAt);
    this.need(numbers.bytes, what);
    const value = numbers.read(this.#view, this.offset);
    this.offset += numbers.bytes;
    return value;
  }

  #list(what: string): readonly string[] | GgufNumbers {
    const typeAt = this.offset;
    const type = this.u32(`element type of ${what}`);
    if (type === STRING) {
      const count = this.countOf(`number of elements of ${what}`, MIN_STRING_BYTES);
      const texts: string[] = [];
      for (let i = 0; i < count; i++) texts.push(this.string(what));
      return texts;
    }
    const numbers = numberTypes.get(type);
    // Lists of lists are allowed by the format and used by no model that we read.
    if (numbers === undefined) throw unknownType(`elements of ${what}`, type, typeAt);
    const bytes = this.countOf(`number of elements of ${what}`, numbers.bytes) * numbers.bytes;
    this.need(bytes, what);
    const own = new Uint8Array(this.bytes.subarray(this.offset, this.offset + bytes));
    this.offset += bytes;
    return numbers.list(own.buffer);
  }
}

function unknownType(what: string, type: number, offset: number): CodedError {
  return new CodedError(
    'GGUF_HEADER',
    `type of ${what} at offset ${offset} is ${type}, wanted 0 to 8 or 10 to 12`,
  );
}
