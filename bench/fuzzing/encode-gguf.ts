import { elementCount, ggufTensorTypes } from '@fleetlora/shared/weights';

/** A metadata value; whole numbers are u32. @source ggml, docs/gguf.md */
export type GgufField =
  | Scalar
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'i32s' | 'f32s'; readonly value: readonly number[] };

interface Scalar {
  readonly kind: 'u32' | 'i32' | 'f32' | 'u64' | 'bool';
  readonly value: number;
}

export interface GgufPart {
  readonly name: string;
  /** Rows first. */
  readonly shape: readonly number[];
  /** ggml's number. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** A GGUF file taken apart. */
export interface GgufParts {
  readonly fields: readonly (readonly [string, GgufField])[];
  readonly tensors: readonly GgufPart[];
}

interface EncodedGguf {
  readonly bytes: Uint8Array;
  /** Where its head has numbers: counts, lengths, types, sizes and places. */
  readonly numbers: readonly { readonly at: number; readonly size: 4 | 8 }[];
}

const ALIGNMENT = 32;
const typeNumbers = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, list: 9, u64: 10 } as const;

/** Bytes that a tensor of whole blocks takes. */
export function ggufBytes(shape: readonly number[], type: number): number {
  const { blockValues = 1, blockBytes = 1 } = ggufTensorTypes.get(type) ?? {};
  return Math.ceil(elementCount(shape) / blockValues) * blockBytes;
}

/** The file of the parts, whose head is right in all that it says of itself. */
export function encodeGguf({ fields, tensors }: GgufParts): EncodedGguf {
  const parts: Buffer[] = [];
  const numbers: { at: number; size: 4 | 8 }[] = [];
  let length = 0;
  const put = (bytes: Buffer): void => {
    parts.push(bytes);
    length += bytes.length;
  };
  const u32 = (value: number): void => {
    numbers.push({ at: length, size: 4 });
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    put(bytes);
  };
  const u64 = (value: number): void => {
    numbers.push({ at: length, size: 8 });
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(Math.trunc(value))));
    put(bytes);
  };
  const f32 = (value: number): void => put(Buffer.from(Float32Array.of(value).buffer));
  const text = (value: string): void => {
    const bytes = Buffer.from(value);
    u64(bytes.length);
    put(bytes);
  };
  const list = <T>(type: number, values: readonly T[], write: (value: T) => void): void => {
    u32(typeNumbers.list);
    u32(type);
    u64(values.length);
    values.forEach(write);
  };
  const scalar = ({ kind, value }: Scalar): void => {
    if (kind === 'bool') put(Buffer.of(value));
    else if (kind === 'f32') f32(value);
    else if (kind === 'u64') u64(value);
    else u32(value);
  };
  const field = (one: GgufField): void => {
    switch (one.kind) {
      case 'strings':
        list(typeNumbers.string, one.value, text);
        break;
      case 'i32s':
        list(typeNumbers.i32, one.value, u32);
        break;
      case 'f32s':
        list(typeNumbers.f32, one.value, f32);
        break;
      case 'string':
        u32(typeNumbers.string);
        text(one.value);
        break;
      default:
        u32(typeNumbers[one.kind]);
        scalar(one);
    }
  };
  put(Buffer.from('GGUF'));
  u32(3);
  u64(tensors.length);
  u64(fields.length);
  for (const [key, one] of fields) {
    text(key);
    field(one);
  }
  let offset = 0;
  for (const { name, shape, type, data } of tensors) {
    text(name);
    u32(shape.length);
    for (const size of shape.toReversed()) u64(size);
    u32(type);
    u64(offset);
    offset += roundUp(data.length);
  }
  put(Buffer.alloc(roundUp(length) - length));
  for (const { data } of tensors) put(Buffer.concat([data], roundUp(data.length)));
  return { bytes: Buffer.concat(parts), numbers };
}

const roundUp = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT;
