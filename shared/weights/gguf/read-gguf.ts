import { CodedError } from '../../errors.js';
import { limits } from '../../protocol/limits.js';
import type { ByteSource } from '../../runtime.js';
import { quoteValue as quote } from '../quote-value.js';
import { elementCount } from '../tensor-file.js';
import { type GgufValue, HeadReader, HeadTooShort } from './head-reader.js';
import { type GgufTensorType, ggufTensorTypes, nameGgufType } from './tensor-types.js';

export interface GgufTensor {
  readonly type: GgufTensorType;
  /** Row-major as everywhere else here, the number of rows first: ggml's `ne` turned round. */
  readonly shape: readonly number[];
  /** Absolute in the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/** A GGUF file whose head was read and checked; tensor data stay where they are. */
export interface GgufFile {
  readonly source: ByteSource;
  /** 2 or 3; they differ in that 3 may be big-endian, which is not read. */
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** "GGUF" as a little-endian u32. */
const MAGIC = 0x46554747;
/** As GGML_MAX_DIMS. */
const MAX_DIMENSIONS = 4;
const DEFAULT_ALIGNMENT = 32;
/** A page of any system: more would only be a hole. */
const MAX_ALIGNMENT = 65536;
/** The head of a small model is read at once, that of a large vocabulary in a few doublings. */
const FIRST_BYTES = 2 * 1024 * 1024;
/** Key, type and value; name, number of dimensions, one dimension, type and offset. */
const MIN_ENTRY_BYTES = 8 + 4 + 1;
const MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;

/**
 * Reads and checks the head of a GGUF file, version 2 or 3: metadata and the places of the tensors,
 * which must be aligned, inside the file and apart from each other.
 * Trusts nothing: every length is checked before it is used.
 * @throws GGUF_TRUNCATED, GGUF_HEADER or GGUF_OVERLAP naming the offset, WEIGHT_DTYPE for a type of
 *   tensor that is not read
 * @source GGUF specification, ggml repository, docs/gguf.md
 */
export async function readGguf(source: ByteSource): Promise<GgufFile> {
  const most = Math.min(source.size, limits.ggufHeaderBytes);
  for (let length = Math.min(most, FIRST_BYTES); ; length = Math.min(most, 2 * length)) {
    const bytes = await source.read(0, length);
    try {
      return {
        source,
        ...parseHead(new HeadReader(bytes, source.size, limits.ggufHeaderBytes), source.size),
      };
    } catch (error) {
      // With all the bytes there may be, the reader knows why they are too few.
      if (!(error instanceof HeadTooShort)) throw error;
    }
  }
}

function parseHead(reader: HeadReader, fileBytes: number): Omit<GgufFile, 'source'> {
  const magic = reader.u32('the magic number');
  if (magic !== MAGIC)
    throw new CodedError(
      'GGUF_HEADER',
      `the file begins with 0x${magic.toString(16)} at offset 0, wanted "GGUF" (0x${MAGIC.toString(16)})`,
    );
  const version = reader.u32('the version');
  if (version !== 2 && version !== 3)
    throw new CodedError(
      'GGUF_HEADER',
      `GGUF version at offset 4 is ${version}, wanted 2 or 3, little-endian`,
    );
  const tensorCount = reader.countOf('number of tensors', MIN_TENSOR_BYTES);
  const entryCount = reader.countOf('number of metadata entries', MIN_ENTRY_BYTES);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; i++) {
    const at = reader.offset;
    const key = reader.string(`metadata key ${i}`);
    if (metadata.has(key)) throw twice('metadata key', key, at);
    metadata.set(key, reader.value(`metadata ${quote(key)}`));
  }
  const entries: { name: string; at: number; tensor: GgufTensor }[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const at = reader.offset;
    const name = reader.string(`name of tensor ${i}`);
    if (names.has(name)) throw twice('tensor', name, at);
    names.add(name);
    entries.push({ name, at, tensor: readTensor(reader, name) });
  }
  const alignment = readAlignment(metadata);
  const dataStart = Math.ceil(reader.offset / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { name, at, tensor } of entries) {
    if (tensor.offset % alignment !== 0)
      throw new CodedError(
        'GGUF_HEADER',
        `tensor ${quote(name)}, described at offset ${at}, begins at byte ${tensor.offset} of the data, wanted a multiple of ${alignment}`,
      );
    const placed = { ...tensor, offset: dataStart + tensor.offset };
    if (placed.offset + placed.bytes > fileBytes)
      throw new CodedError(
        'GGUF_TRUNCATED',
        `tensor ${quote(name)} takes ${placed.bytes} bytes at offset ${placed.offset}, the file has ${fileBytes}`,
      );
    tensors.set(name, placed);
  }
  checkApart(tensors);
  return { version, metadata, tensors };
}

/** A tensor's description; its offset counts from the beginning of the data, which is not known yet. */
function readTensor(reader: HeadReader, name: string): GgufTensor {
  const label = `tensor ${quote(name)}`;
  const at = reader.offset;
  const dimensions = reader.u32(`number of dimensions of ${label}`);
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS)
    throw new CodedError(
      'GGUF_HEADER',
      `number of dimensions of ${label} at offset ${at} is ${dimensions}, wanted 1 to ${MAX_DIMENSIONS}`,
    );
  const sizes: number[] = [];
  for (let i = 0; i < dimensions; i++) sizes.push(reader.count(`dimension ${i} of ${label}`));
  const typeAt = reader.offset;
  const number = reader.u32(`type of ${label}`);
  const type = ggufTensorTypes.get(number);
  if (type === undefined)
    throw new CodedError(
      'WEIGHT_DTYPE',
      `type of ${label} at offset ${typeAt} is ${nameGgufType(number)}, supported are ${[...ggufTensorTypes.values()].map((known) => known.name).join(', ')}`,
    );
  const values = elementCount(sizes);
  const [rowValues = 0] = sizes;
  if (!Number.isSafeInteger(values) || rowValues % type.blockValues !== 0)
    throw new CodedError(
      'GGUF_HEADER',
      `${label} at offset ${at} has dimensions ${sizes.join(' × ')}, wanted rows of whole blocks of ${type.blockValues} values (${type.name})`,
    );
  const offset = reader.count(`place of ${label}`);
  return { type, shape: sizes.reverse(), offset, bytes: (values / type.blockValues) * type.blockBytes };
}

function readAlignment(metadata: ReadonlyMap<string, GgufValue>): number {
  const found = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  const good =
    typeof found === 'number' && Number.isInteger(Math.log2(found)) && found >= 1 && found <= MAX_ALIGNMENT;
  if (!good)
    throw new CodedError(
      'GGUF_HEADER',
      `metadata "general.alignment" is ${quote(String(found))}, wanted a power of two up to ${MAX_ALIGNMENT}`,
    );
  return found;
}

/** Gaps are padding, of whatever length; bytes that belong to two tensors are nobody's intent. */
function checkApart(tensors: ReadonlyMap<string, GgufTensor>): void {
  const sorted = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 0;
  let previous = '';
  for (const [name, { offset, bytes }] of sorted) {
    if (offset < end)
      throw new CodedError(
        'GGUF_OVERLAP',
        `tensor ${quote(name)} begins at offset ${offset}, before the end of ${quote(previous)} at ${end}`,
      );
    end = offset + bytes;
    previous = name;
  }
}

function twice(kind: string, name: string, offset: number): CodedError {
  return new CodedError('GGUF_HEADER', `${kind} ${quote(name)} stands a second time at offset ${offset}`);
}
