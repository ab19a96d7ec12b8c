import { CodedError } from '../errors.js';
import { floatsFromBfloat, floatsFromHalf } from './half.js';
import type { Dtype, TensorEntry, TensorFile } from './tensor-file.js';

/** The entry of a tensor. @throws WEIGHT_MISSING when the file has none of that name */
export function requireTensor(file: TensorFile, name: string): TensorEntry {
  const entry = file.tensors.get(name);
  if (!entry)
    throw new CodedError(
      'WEIGHT_MISSING',
      `weight file has no tensor "${name}" among its ${file.tensors.size}`,
    );
  return entry;
}

/**
 * Checks that a tensor can be widened to F32 and, where `expectedShape` says, has that shape.
 * @throws WEIGHT_SHAPE, or WEIGHT_DTYPE when it is not F32, F16 or BF16
 */
export function requireFloats(name: string, entry: TensorEntry, expectedShape?: readonly number[]): void {
  if (expectedShape && entry.shape.join() !== expectedShape.join())
    throw new CodedError(
      'WEIGHT_SHAPE',
      `tensor "${name}" has shape [${entry.shape.join(', ')}], wanted [${expectedShape.join(', ')}]`,
    );
  if (entry.dtype !== 'F32' && entry.dtype !== 'F16' && entry.dtype !== 'BF16')
    throw new CodedError(
      'WEIGHT_DTYPE',
      `tensor "${name}" has dtype ${entry.dtype}, wanted F32, F16 or BF16`,
    );
}

/**
 * A tensor widened to F32, row-major.
 * @param expectedShape refuses any other shape
 * @throws WEIGHT_MISSING, WEIGHT_SHAPE, or WEIGHT_DTYPE when it is not F32, F16 or BF16
 */
export async function readFloats(
  file: TensorFile,
  name: string,
  expectedShape?: readonly number[],
): Promise<Float32Array> {
  const entry = requireTensor(file, name);
  requireFloats(name, entry, expectedShape);
  return elementsAt(file, entry.dtype, entry.offset, entry.bytes);
}

/** `bytes` bytes of F32, F16 or BF16 values from `offset` of a file, widened to F32. */
export async function elementsAt(
  file: TensorFile,
  dtype: Dtype,
  offset: number,
  bytes: number,
): Promise<Float32Array> {
  const read = await file.source.read(offset, bytes);
  if (dtype === 'F16') return floatsFromHalf(read);
  if (dtype === 'BF16') return floatsFromBfloat(read);
  const own = aligned(read);
  return new Float32Array(own.buffer, own.byteOffset, own.length / 4);
}

/**
 * A tensor's bytes as they are stored.
 * @param expectedShape refuses any other shape, and any element type but U8
 * @throws WEIGHT_MISSING, WEIGHT_SHAPE, WEIGHT_DTYPE
 */
export async function readBytes(
  file: TensorFile,
  name: string,
  expectedShape?: readonly number[],
): Promise<Uint8Array> {
  const entry = requireTensor(file, name);
  if (expectedShape && entry.dtype !== 'U8')
    throw new CodedError('WEIGHT_DTYPE', `tensor "${name}" has dtype ${entry.dtype}, wanted U8`);
  if (expectedShape && entry.shape.join() !== expectedShape.join())
    throw new CodedError(
      'WEIGHT_SHAPE',
      `tensor "${name}" has shape [${entry.shape.join(', ')}], wanted [${expectedShape.join(', ')}]`,
    );
  return file.source.read(entry.offset, entry.bytes);
}

/** An I32 tensor. @throws WEIGHT_MISSING, or WEIGHT_DTYPE when it is not I32 */
export async function readInts(file: TensorFile, name: string): Promise<Int32Array> {
  const entry = requireTensor(file, name);
  if (entry.dtype !== 'I32')
    throw new CodedError('WEIGHT_DTYPE', `tensor "${name}" has dtype ${entry.dtype}, wanted I32`);
  const own = aligned(await file.source.read(entry.offset, entry.bytes));
  return new Int32Array(own.buffer, own.byteOffset, own.length / 4);
}

/** The same bytes at an address a 4-byte view may start at. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
}
