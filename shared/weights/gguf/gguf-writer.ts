import { CodedError } from '../../errors.js';
import type { ByteSink } from '../../runtime.js';
import { encodeValues } from '../encode-tensor-file.js';
import { elementCount } from '../tensor-file.js';
import { quantiseQ40, quantiseQ80 } from './quantise-gguf.js';

/** A metadata value with the type that readers of its key expect. */
export type GgufField =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] };
export type GgufFields = Readonly<Record<string, GgufField>>;

/** How values are written; the last two round them to blocks of 32. */
export type GgufDtype = 'F32' | 'F16' | 'Q8_0' | 'Q4_0';

/** A tensor to be written. */
export interface GgufTensorToWrite {
  readonly name: string;
  readonly dtype: GgufDtype;
  /** Row-major, the number of rows first; of a block type the last is a multiple of 32. */
  readonly shape: readonly number[];
  /** Its values from first to last, in pieces of whole rows. */
  read(): AsyncIterable<Float32Array>;
}

/** @source GGUF specification, ggml repository, docs/gguf.md: numbers of value and tensor types */
const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9 } as const;
const tensorTypes: Readonly<Record<GgufDtype, number>> = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8 };
/** Bytes of a block type's 32 values. */
const blockBytes = { Q4_0: 18, Q8_0: 34 } as const;
const BLOCK = 32;
const VERSION = 3;
/** What readers assume without a key that says otherwise. */
const ALIGNMENT = 32;

const roundUp = (value: number): number => Math.ceil(value / ALIGNMENT) * ALIGNMENT;

/**
 * Writes a GGUF file, version 3, tensors in the order given.
 * @throws WEIGHT_DTYPE when a finite value does not fit into F16; WEIGHT_SHAPE when rows are not whole
 *   blocks, WEIGHT_NOT_FINITE for what no block can hold
 * @throws BUG when a tensor yields another number of values than its shape has
 */
export async function writeGguf(
  sink: ByteSink,
  fields: GgufFields,
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  for (const tensor of tensors) checkBlocks(tensor);
  const head = encodeHead(fields, tensors);
  await sink.write(head);
  await pad(sink, head.length);
  for (const tensor of tensors) {
    let values = 0;
    for await (const piece of tensor.read()) {
      values += piece.length;
      await sink.write(encodePiece(tensor, piece));
    }
    if (values !== elementCount(tensor.shape))
      throw new CodedError(
        'BUG',
        `tensor "${tensor.name}" [${tensor.shape.join(', ')}] yielded ${values} values`,
      );
    await pad(sink, sizeOf(tensor));
  }
}

function sizeOf({ dtype, shape }: GgufTensorToWrite): number {
  const values = elementCount(shape);
  if (dtype === 'F32' || dtype === 'F16') return values * (dtype === 'F32' ? 4 : 2);
  return (values / BLOCK) * blockBytes[dtype];
}

function checkBlocks({ name, dtype, shape }: GgufTensorToWrite): void {
  const row = shape.at(-1) ?? 1;
  if (dtype in blockBytes && row % BLOCK !== 0)
    throw new CodedError(
      'WEIGHT_SHAPE',
      `rows of tensor "${name}" have ${row} values, ${dtype} takes multiples of ${BLOCK}`,
    );
}

function encodePiece({ name, dtype, shape }: GgufTensorToWrite, piece: Float32Array): Uint8Array {
  if (dtype === 'Q8_0') return quantiseQ80(piece);
  if (dtype === 'Q4_0') return quantiseQ40(piece);
  return encodeValues({ name, dtype, shape }, piece, piece.length);
}

async function pad(sink: ByteSink, written: number): Promise<void> {
  const gap = roundUp(written) - written;
  if (gap > 0) await sink.write(new Uint8Array(gap));
}

function encodeHead(fields: GgufFields, tensors: readonly GgufTensorToWrite[]): Uint8Array {
  const head = new HeadWriter();
  head.ascii('GGUF').u32(VERSION).u64(tensors.length).u64(Object.keys(fields).length);
  for (const [key, field] of Object.entries(fields)) head.text(key).field(field);
  let offset = 0;
  for (const tensor of tensors) {
    head.text(tensor.name).u32(tensor.shape.length);
    // ggml counts the dimension that lies closest together first.
    for (const size of tensor.shape.toReversed()) head.u64(size);
    head.u32(tensorTypes[tensor.dtype]).u64(offset);
    offset += roundUp(sizeOf(tensor));
  }
  return head.finish();
}

/** A growing buffer of little-endian values. */
class HeadWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  #next(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
  u32(value: number): this {
    const at = this.#next(4);
    this.#view.setUint32(at, value, true);
    return this;
  }
  i32(value: number): this {
    const at = this.#next(4);
    this.#view.setInt32(at, value, true);
    return this;
  }
  u64(value: number): this {
    const at = this.#next(8);
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }
  f32(value: number): this {
    const at = this.#next(4);
    this.#view.setFloat32(at, value, true);
    return this;
  }
  #raw(bytes: Uint8Array): this {
    const at = this.#next(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }
  ascii(text: string): this {
    return this.#raw(new TextEncoder().encode(text));
  }
  text(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u64(bytes.length).#raw(bytes);
  }
  #list(type: number, count: number): this {
    return this.u32(valueTypes.list).u32(type).u64(count);
  }
  field(field: GgufField): this {
    if ('u32' in field) return this.u32(valueTypes.u32).u32(field.u32);
    if ('f32' in field) return this.u32(valueTypes.f32).f32(field.f32);
    if ('bool' in field) return this.u32(valueTypes.bool).#raw(Uint8Array.of(field.bool ? 1 : 0));
    if ('text' in field) return this.u32(valueTypes.text).text(field.text);
    if ('texts' in field) {
      this.#list(valueTypes.text, field.texts.length);
      for (const text of field.texts) this.text(text);
    } else if ('i32s' in field) {
      this.#list(valueTypes.i32, field.i32s.length);
      for (const value of field.i32s) this.i32(value);
    } else {
      this.#list(valueTypes.f32, field.f32s.length);
      for (const value of field.f32s) this.f32(value);
    }
    return this;
  }
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}
