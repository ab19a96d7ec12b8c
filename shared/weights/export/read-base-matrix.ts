import { type BaseLayout, quantBlock } from '../../graph/base-layout.js';
import { type ModuleName, moduleDims } from '../../graph/model-shape.js';
import { transpose } from '../permute.js';
import { dequantiseBlocks, type QuantPrecision, quantBlockBytes } from '../quantise.js';
import { elementsAt, readFloats, requireTensor } from '../read-values.js';
import type { TensorFile } from '../tensor-file.js';

/**
 * A linear module of a base file as [out, in], whatever the file's precision: the weights that its
 * numbers stand for. Channels and heads stay sorted.
 * @throws WEIGHT_MISSING, WEIGHT_SHAPE, WEIGHT_DTYPE
 */
export async function readBaseMatrix(
  file: TensorFile,
  layout: BaseLayout,
  layer: number,
  module: ModuleName,
): Promise<Float32Array> {
  const { shape, precision, ffnChunks } = layout;
  const [input, output] = moduleDims(shape, module);
  const name = `layers.${layer}.${module}`;
  if (precision === 'fp32') {
    if (module !== 'down') return readFloats(file, name, [output, input]);
    return transpose(await readFloats(file, name, [input, output]), input, output);
  }
  if (module !== 'down' && module !== 'o') return readQuantised(file, precision, name, input);
  const sizes = module === 'down' ? ffnChunks : Array(shape.kvHeads).fill(input / shape.kvHeads);
  const matrix = new Float32Array(output * input);
  let first = 0;
  for (const [chunk, size] of sizes.entries()) {
    const values = await readQuantised(file, precision, `${name}.${chunk}`, size);
    for (let row = 0; row < output; row++)
      matrix.set(values.subarray(row * size, (row + 1) * size), row * input + first);
    first += size;
  }
  return matrix;
}

/** Rows of the embedding or of an untied head, [rows, hidden]. */
export async function readBaseRows(
  file: TensorFile,
  layout: BaseLayout,
  name: 'embed' | 'head',
  first: number,
  rows: number,
): Promise<Float32Array> {
  const { hidden } = layout.shape;
  const { tablePrecision } = layout;
  if (tablePrecision !== 'fp32') return readQuantised(file, tablePrecision, name, hidden, first, rows);
  return sliceFloats(file, name, first * hidden, rows * hidden);
}

/** Rows of a quantised matrix; all of them without a range. */
async function readQuantised(
  file: TensorFile,
  precision: QuantPrecision,
  name: string,
  input: number,
  first = 0,
  rows?: number,
): Promise<Float32Array> {
  const q = requireTensor(file, `${name}.q`);
  const rowBytes = (input / quantBlock) * quantBlockBytes(precision);
  const count = rows ?? q.bytes / rowBytes;
  const numbers = await file.source.read(q.offset + first * rowBytes, count * rowBytes);
  const blocks = input / quantBlock;
  const scale = await sliceFloats(file, `${name}.scale`, first * blocks, count * blocks);
  return dequantiseBlocks({ q: numbers, scale }, precision);
}

async function sliceFloats(
  file: TensorFile,
  name: string,
  first: number,
  count: number,
): Promise<Float32Array> {
  const entry = requireTensor(file, name);
  return elementsAt(file, entry.dtype, entry.offset + 4 * first, 4 * count);
}
