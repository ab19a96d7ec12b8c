import { CodedError } from '../errors.js';
import { limits } from '../protocol/limits.js';
import type { ByteSource } from '../runtime.js';
import { parseJson } from './parse-json.js';
import { quoteValue as quote } from './quote-value.js';

/** Element types we read and write, with the bytes of one element. */
export const dtypeBytes = {
  F32: 4,
  F16: 2,
  BF16: 2,
  I32: 4,
  I64: 8,
  U8: 1,
} as const;
export type Dtype = keyof typeof dtypeBytes;

export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Absolute in the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/** A safetensors file whose header was read and checked; tensor data stay where they are. */
export interface TensorFile {
  readonly source: ByteSource;
  /** Bytes of the whole file. */
  readonly size: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** By name; padding tensors are left out. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** Names of the tensors that fill the gaps of a page-aligned file. */
export const padPrefix = '__pad.';
/** The deepest tensor any supported model has is a matrix; 8 leaves room for strangers' files. */
const MAX_DIMENSIONS = 8;
const METADATA = '__metadata__';
/** Header, entry, and shape or offsets are one inside the other; 1,000 tensors have about 9,000 values. */
const headerCeilings = { depth: 3, values: 2 ** 20 } as const;

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isRange = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every(isCount) && Number(value[0]) <= Number(value[1]);

/**
 * Reads and checks the header of a safetensors file: 8 bytes little-endian length, JSON header,
 * then the data, which the tensors must cover without overlap, hole or rest.
 * Trusts nothing: every length is checked before it is used.
 * @throws SAFETENSORS_TRUNCATED, SAFETENSORS_HEADER, SAFETENSORS_OVERLAP or WEIGHT_DTYPE
 * @source safetensors format, github.com/huggingface/safetensors README
 */
export async function readTensorFile(source: ByteSource): Promise<TensorFile> {
  const header = await readHeader(source);
  const dataStart = 8 + header.bytes;
  const dataBytes = source.size - dataStart;
  const entries: [string, TensorEntry][] = [];
  for (const [name, value] of Object.entries(header.value)) {
    if (name !== METADATA) entries.push([name, readEntry(name, value, dataStart, dataBytes)]);
  }
  checkCover(entries, dataStart, dataBytes);
  return {
    source,
    size: source.size,
    metadata: readMetadata(header.value[METADATA]),
    tensors: new Map(entries.filter(([name]) => !name.startsWith(padPrefix))),
  };
}

async function readHeader(source: ByteSource): Promise<{ bytes: number; value: Record<string, unknown> }> {
  if (source.size < 8)
    throw new CodedError(
      'SAFETENSORS_TRUNCATED',
      `weight file has ${source.size} bytes, a header length alone takes 8`,
    );
  const prefix = await source.read(0, 8);
  const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
  const bytes = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (bytes > limits.safetensorsHeaderBytes)
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `weight file announces a header of ${bytes} bytes, at most ${limits.safetensorsHeaderBytes} are allowed`,
    );
  if (bytes > source.size - 8)
    throw new CodedError(
      'SAFETENSORS_TRUNCATED',
      `weight file announces a header of ${bytes} bytes and has ${source.size - 8} after the length`,
    );
  const value = parseJson(
    await source.read(8, bytes),
    { what: 'header of the weight file', offset: 8, code: 'SAFETENSORS_HEADER' },
    headerCeilings,
  );
  if (!isRecord(value))
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `header of the weight file, at byte 8, is ${quote(value)}, wanted an object`,
    );
  return { bytes, value };
}

function readMetadata(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value))
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `"${METADATA}" is ${quote(value)}, wanted an object of strings`,
    );
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string')
      throw new CodedError(
        'SAFETENSORS_HEADER',
        `"${METADATA}" ${quote(key)} is ${quote(text)}, wanted a string`,
      );
  }
  return value as Record<string, string>;
}

function readEntry(name: string, value: unknown, dataStart: number, dataBytes: number): TensorEntry {
  const label = quote(name);
  if (!isRecord(value))
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `tensor ${label} is described by ${quote(value)}, wanted an object`,
    );
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBytes, dtype))
    throw new CodedError(
      'WEIGHT_DTYPE',
      `tensor ${label} has dtype ${quote(dtype)}, supported are ${Object.keys(dtypeBytes).join(', ')}`,
    );
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isCount))
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `tensor ${label} has shape ${quote(shape)}, wanted at most ${MAX_DIMENSIONS} whole numbers`,
    );
  if (!isRange(offsets))
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `tensor ${label} has data_offsets ${quote(offsets)}, wanted [begin, end]`,
    );
  const [begin, end] = offsets;
  const wanted = elementCount(shape) * dtypeBytes[dtype as Dtype];
  if (end - begin !== wanted)
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `tensor ${label} has ${end - begin} bytes, ${dtype} [${shape.join(', ')}] takes ${wanted}`,
    );
  if (end > dataBytes)
    throw new CodedError(
      'SAFETENSORS_TRUNCATED',
      `tensor ${label} ends at byte ${end} of the data, the file holds ${dataBytes}`,
    );
  return {
    dtype: dtype as Dtype,
    shape,
    offset: dataStart + begin,
    bytes: wanted,
  };
}

/** Invariant of the format: sorted by offset, the tensors lie end to end and fill the data. */
function checkCover(entries: readonly [string, TensorEntry][], dataStart: number, dataBytes: number): void {
  const sorted = [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let position = dataStart;
  let previous = 'the header';
  for (const [name, { offset, bytes }] of sorted) {
    if (offset < position)
      throw new CodedError(
        'SAFETENSORS_OVERLAP',
        `tensor ${quote(name)} starts at byte ${offset}, before the end of ${previous} at ${position}`,
      );
    if (offset > position)
      throw new CodedError(
        'SAFETENSORS_HEADER',
        `${offset - position} bytes between ${previous} and tensor ${quote(name)} belong to no tensor`,
      );
    position = offset + bytes;
    previous = quote(name);
  }
  if (position !== dataStart + dataBytes)
    throw new CodedError(
      'SAFETENSORS_HEADER',
      `${dataStart + dataBytes - position} bytes after the last tensor belong to no tensor`,
    );
}
