import { CodedError } from '../errors.js';
import { bfloatBits, halfBits } from './half.js';
import { type Dtype, dtypeBytes, elementCount, padPrefix } from './tensor-file.js';

/** Every tensor of a page-aligned file starts at a multiple of this, so that it can be mapped. */
export const pageBytes = 4096;
/** Stock writers align the data like this, for readers that view 8-byte elements in place. */
const UNALIGNED_HEADER_BYTES = 8;

export type Alignment = 'page' | 'none';

export interface TensorSpec {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** F32, F16 and BF16 take a Float32Array, I32 an Int32Array; any dtype takes its raw bytes. */
export interface TensorToWrite extends TensorSpec {
  readonly data: Float32Array | Int32Array | Uint8Array;
}

export interface FilePlan {
  /** Length prefix, JSON and padding spaces: all that is before the data. */
  readonly head: Uint8Array;
  /** Absolute offset of each tensor, in the order given. */
  readonly offsets: readonly number[];
  readonly size: number;
}

export const specBytes = ({ dtype, shape }: TensorSpec): number => elementCount(shape) * dtypeBytes[dtype];
const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step;

/**
 * Places the tensors in a file. Offsets in the header count from the end of the header, so its own length
 * does not change them; gaps become explicit U8 tensors because stock readers refuse holes.
 */
export function planTensorFile(
  tensors: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>>,
  alignment: Alignment,
): FilePlan {
  const header: Record<string, unknown> = { __metadata__: metadata };
  const place = (name: string, dtype: Dtype, shape: readonly number[], begin: number, end: number): void => {
    if (Object.hasOwn(header, name))
      throw new CodedError('BUG', `two tensors named "${name}" in one weight file`);
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  };
  const begins: number[] = [];
  let position = 0;
  let pads = 0;
  for (const tensor of tensors) {
    const begin = alignment === 'page' ? roundUp(position, pageBytes) : position;
    if (begin > position) place(`${padPrefix}${pads++}`, 'U8', [begin - position], position, begin);
    position = begin + specBytes(tensor);
    place(tensor.name, tensor.dtype, tensor.shape, begin, position);
    begins.push(begin);
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headBytes = roundUp(8 + json.length, alignment === 'page' ? pageBytes : UNALIGNED_HEADER_BYTES);
  const head = new Uint8Array(headBytes).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(headBytes - 8), true);
  head.set(json, 8);
  return {
    head,
    offsets: begins.map((begin) => headBytes + begin),
    size: headBytes + position,
  };
}

/** Exact bytes `encodeTensorFile` would return, without making them. */
export function tensorFileSize(
  tensors: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>>,
  alignment: Alignment,
): number {
  return planTensorFile(tensors, metadata, alignment).size;
}

/**
 * A safetensors file, tensors in the order given. Equal inputs give equal bytes.
 * @throws WEIGHT_DTYPE when a finite value does not fit into F16 or BF16
 * @throws BUG when the data do not fit their description
 */
export function encodeTensorFile(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
  options: { readonly alignment: Alignment },
): Uint8Array {
  const { head, offsets, size } = planTensorFile(tensors, metadata, options.alignment);
  const file = new Uint8Array(size);
  file.set(head);
  tensors.forEach((tensor, index) => {
    const offset = offsets[index] as number;
    const target = file.subarray(offset, offset + specBytes(tensor));
    target.set(encodeValues(tensor, tensor.data, elementCount(tensor.shape)));
  });
  return file;
}

/**
 * Bytes of `count` values of a tensor, narrowed to its type where that is smaller. Values that are
 * stored as they are given are not copied.
 * @throws WEIGHT_DTYPE when a finite value does not fit into F16 or BF16
 * @throws BUG when the data do not fit their description
 */
export function encodeValues(
  { name, dtype, shape }: TensorSpec,
  data: Float32Array | Int32Array | Uint8Array,
  count: number,
): Uint8Array {
  const raw = data instanceof Uint8Array;
  const floats = dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
  if (data.length !== (raw ? count * dtypeBytes[dtype] : count))
    throw new CodedError(
      'BUG',
      `tensor "${name}" ${dtype} [${shape.join(', ')}] was given ${data.length} ${raw ? 'bytes' : 'values'}`,
    );
  if (!raw && (data instanceof Float32Array ? !floats : dtype !== 'I32'))
    throw new CodedError('BUG', `tensor "${name}" is ${dtype} and was given a ${data.constructor.name}`);
  if (raw) return data;
  if (dtype === 'F16' || dtype === 'BF16') return narrow(name, dtype, data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function narrow(name: string, dtype: 'F16' | 'BF16', data: Float32Array | Int32Array): Uint8Array {
  const target = new Uint8Array(2 * data.length);
  const toBits = dtype === 'F16' ? halfBits : bfloatBits;
  const infinity = dtype === 'F16' ? 0x7c00 : 0x7f80;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    const bits = toBits(value);
    if ((bits & 0x7fff) === infinity && Number.isFinite(value))
      throw new CodedError(
        'WEIGHT_DTYPE',
        `tensor "${name}" holds ${value}, which does not fit into ${dtype}`,
      );
    target[2 * i] = bits & 0xff;
    target[2 * i + 1] = bits >> 8;
  }
  return target;
}
