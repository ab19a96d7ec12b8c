import { CodedError } from '../errors.js';
import type { TensorFile } from '../weights/tensor-file.js';
import { hasBias, type ModelShape, type ModuleName } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';

/** A weight file by its name in the session's weight folder. */
export interface WeightFile {
  readonly fileName: string;
  readonly file: TensorFile;
}

/**
 * The files behind one model. A tensor is looked for in `overlay` first: LoRA factors of a
 * super-adapter or package, or the complete matrices of a merged package, hide the base's.
 */
export interface GraphWeights {
  readonly base: WeightFile;
  readonly overlay: WeightFile | null;
}

const FLOAT_BYTES = 4;

/**
 * Declares the first `rows` rows of a stored F32 matrix (or all of a vector) as an external
 * constant: a prefix of rows is a prefix of bytes, so no weight is copied.
 * @throws WEIGHT_MISSING, WEIGHT_DTYPE or WEIGHT_SHAPE naming the tensor, what it is and what was wanted
 */
export function bindRows(
  builder: GraphBuilder,
  weights: GraphWeights,
  name: string,
  dims: readonly number[],
): string {
  const owner = weights.overlay?.file.tensors.has(name) ? weights.overlay : weights.base;
  const entry = owner.file.tensors.get(name);
  if (!entry) throw new CodedError('WEIGHT_MISSING', `weight file ${owner.fileName} has no tensor ${name}`);
  if (entry.dtype !== 'F32')
    throw new CodedError('WEIGHT_DTYPE', `tensor ${name} is ${entry.dtype}, sessions map F32 files`);
  const [rows = 0, ...rest] = dims;
  const [storedRows = 0, ...storedRest] = entry.shape;
  if (
    storedRows < rows ||
    rest.length !== storedRest.length ||
    rest.some((dim, axis) => dim !== storedRest[axis])
  )
    throw new CodedError(
      'WEIGHT_SHAPE',
      `tensor ${name} is [${entry.shape.join(', ')}], wanted the first rows of it as [${dims.join(', ')}]`,
    );
  const bytes = dims.reduce((product, dim) => product * dim, FLOAT_BYTES);
  return builder.external(name, dims, { fileName: owner.fileName, offset: entry.offset, bytes });
}

/**
 * What a linear module adds to its products: the first `size` values of its bias, as the operator's
 * one further input, or no input for a module without a bias.
 */
export function bindBias(
  builder: GraphBuilder,
  weights: GraphWeights,
  shape: ModelShape,
  layer: number,
  module: ModuleName,
  size: number,
): string[] {
  if (!hasBias(shape, module)) return [];
  return [bindRows(builder, weights, `layers.${layer}.${module}.bias`, [size])];
}

/**
 * Declares the top left [rows, columns] block of a stored F32 matrix. Fewer columns than stored
 * are cut by a Slice on the constant, which ONNX Runtime folds when it loads the graph.
 */
export function bindBlock(
  builder: GraphBuilder,
  weights: GraphWeights,
  name: string,
  rows: number,
  columns: number,
): string {
  const entry = weights.overlay?.file.tensors.get(name) ?? weights.base.file.tensors.get(name);
  const storedColumns = entry?.shape[1] ?? columns;
  if (storedColumns <= columns) return bindRows(builder, weights, name, [rows, columns]);
  const full = bindRows(builder, weights, name, [rows, storedColumns]);
  return builder.node('Slice', [
    full,
    builder.constant([0]),
    builder.constant([columns]),
    builder.constant([1]),
  ]);
}
