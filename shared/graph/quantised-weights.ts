import { CodedError } from '../errors.js';
import { type QuantPrecision, quantBits, quantBlockBytes } from '../weights/quantise.js';
import { quantBlock } from './base-layout.js';
import type { WeightFile } from './graph-weights.js';
import type { GraphBuilder } from './onnx-writer.js';

/** A quantised matrix as constants: numbers U8 [out, in / 32, bytes of a block], scales F32 [out, in / 32]. */
export interface QuantisedConstant {
  readonly q: string;
  readonly scale: string;
  readonly rows: number;
  readonly columns: number;
}

/**
 * Declares the first `rows` rows of a stored quantised matrix as external constants: a prefix of
 * rows is a prefix of bytes.
 * @param columns inputs, a multiple of 32
 * @throws WEIGHT_MISSING, WEIGHT_DTYPE or WEIGHT_SHAPE naming the tensor, what it is and what was wanted
 */
export function bindQuantised(
  builder: GraphBuilder,
  base: WeightFile,
  precision: QuantPrecision,
  name: string,
  rows: number,
  columns: number,
): QuantisedConstant {
  const blocks = columns / quantBlock;
  const bind = (
    suffix: 'q' | 'scale',
    dtype: 'U8' | 'F32',
    inner: readonly number[],
    bytes: number,
  ): string => {
    const full = `${name}.${suffix}`;
    const entry = base.file.tensors.get(full);
    if (!entry) throw new CodedError('WEIGHT_MISSING', `weight file ${base.fileName} has no tensor ${full}`);
    if (entry.dtype !== dtype)
      throw new CodedError('WEIGHT_DTYPE', `tensor ${full} is ${entry.dtype}, wanted ${dtype}`);
    const [storedRows = 0, ...storedInner] = entry.shape;
    if (storedRows < rows || storedInner.join() !== inner.join())
      throw new CodedError(
        'WEIGHT_SHAPE',
        `tensor ${full} is [${entry.shape.join(', ')}], wanted the first rows of it as [${[rows, ...inner].join(', ')}]`,
      );
    const at = { fileName: base.fileName, offset: entry.offset, bytes: rows * bytes };
    return builder.external(full, [rows, ...inner], at, dtype === 'U8' ? 'uint8' : 'float32');
  };
  const blockBytes = quantBlockBytes(precision);
  return {
    q: bind('q', 'U8', [blocks, blockBytes], blocks * blockBytes),
    scale: bind('scale', 'F32', [blocks], blocks * 4),
    rows,
    columns,
  };
}

/** One matrix of a weight file that covers some inputs, and how many of them are wanted. */
export interface InputChunk {
  readonly name: string;
  readonly stored: number;
  /** A prefix, a multiple of 32. */
  readonly wanted: number;
}

/** Chunks of the first `wanted` of inputs that are stored in chunks of these sizes. */
export function chunksOf(name: string, sizes: readonly number[], wanted: number): InputChunk[] {
  let before = 0;
  return sizes.flatMap((stored, index) => {
    const own = Math.min(stored, wanted - before);
    before += stored;
    return own > 0 ? [{ name: `${name}.${index}`, stored, wanted: own }] : [];
  });
}

/**
 * A matrix whose inputs are stored in chunks, joined. ONNX Runtime folds the cut of the last chunk
 * and the joining when it loads the graph, and multiplies by a copy of its own anyway.
 * @throws as bindQuantised
 */
export function bindChunks(
  builder: GraphBuilder,
  base: WeightFile,
  precision: QuantPrecision,
  rows: number,
  chunks: readonly InputChunk[],
): QuantisedConstant {
  const parts = chunks.map(({ name, stored, wanted }) => {
    const { q, scale } = bindQuantised(builder, base, precision, name, rows, stored);
    if (wanted === stored) return { q, scale };
    const cut = (x: string): string =>
      builder.node('Slice', [
        x,
        builder.constant([0]),
        builder.constant([wanted / quantBlock]),
        builder.constant([1]),
      ]);
    return { q: cut(q), scale: cut(scale) };
  });
  return {
    ...joinConstants(builder, parts, 1),
    rows,
    columns: chunks.reduce((sum, { wanted }) => sum + wanted, 0),
  };
}

/** Matrices of the same inputs, their outputs one after another. */
export function stackOutputs(builder: GraphBuilder, parts: readonly QuantisedConstant[]): QuantisedConstant {
  return {
    ...joinConstants(builder, parts, 0),
    rows: parts.reduce((sum, { rows }) => sum + rows, 0),
    columns: parts[0]?.columns ?? 0,
  };
}

function joinConstants(
  builder: GraphBuilder,
  parts: readonly Pick<QuantisedConstant, 'q' | 'scale'>[],
  axis: 0 | 1,
): Pick<QuantisedConstant, 'q' | 'scale'> {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const join = (names: string[]): string => builder.node('Concat', names, { axis });
  return { q: join(parts.map(({ q }) => q)), scale: join(parts.map(({ scale }) => scale)) };
}

/**
 * x·Wᵀ (+ bias): [T, in] → [T, out]. Activations are rounded to 8 bits a block of 32 (accuracy
 * level 4): the kernels multiply integers.
 * @param bias the operator's input for it, or nothing
 * @source com.microsoft.MatMulNBits, ONNX Runtime 1.30
 */
export function multiplyQuantised(
  builder: GraphBuilder,
  precision: QuantPrecision,
  x: string,
  { q, scale, rows, columns }: QuantisedConstant,
  bias: readonly string[] = [],
  output?: string,
): string {
  const [biasInput] = bias;
  return builder.node(
    'MatMulNBits',
    [x, q, scale, ...(biasInput === undefined ? [] : ['', '', biasInput])],
    { K: columns, N: rows, bits: quantBits[precision], block_size: quantBlock, accuracy_level: 4 },
    output,
  );
}
