import { CodedError } from '../../errors.js';
import { elementCount } from '../tensor-file.js';
import type { GgufFile, GgufTensor } from './read-gguf.js';

/** A tensor by name. @throws WEIGHT_MISSING, or WEIGHT_SHAPE when it has another shape */
export function requireGgufTensor(file: GgufFile, name: string, shape: readonly number[]): GgufTensor {
  const tensor = file.tensors.get(name);
  if (tensor === undefined)
    throw new CodedError(
      'WEIGHT_MISSING',
      `GGUF file has no tensor "${name}" among its ${file.tensors.size}`,
    );
  if (tensor.shape.join() !== shape.join())
    throw new CodedError(
      'WEIGHT_SHAPE',
      `tensor "${name}" of the GGUF file has shape [${tensor.shape.join(', ')}], wanted [${shape.join(', ')}]`,
    );
  return tensor;
}

/**
 * Rows of a matrix, or values of a vector, widened to F32: [rows, ...], row-major.
 * @throws BUG when the tensor has not so many rows
 */
export async function readGgufRows(
  file: GgufFile,
  tensor: GgufTensor,
  first: number,
  rows: number,
): Promise<Float32Array> {
  const [all = 0, ...row] = tensor.shape;
  if (!(first >= 0 && rows >= 0 && first + rows <= all))
    throw new CodedError('BUG', `rows ${first} to ${first + rows - 1} asked for, the tensor has ${all}`);
  // The values of a vector are the blocks of one row, and may be asked for in parts only where a
  // block is a single value.
  const rowBytes = (elementCount(row) / tensor.type.blockValues) * tensor.type.blockBytes;
  if (row.length > 0 || tensor.type.blockValues === 1)
    return tensor.type.dequantise(await file.source.read(tensor.offset + first * rowBytes, rows * rowBytes));
  const whole = tensor.type.dequantise(await file.source.read(tensor.offset, tensor.bytes));
  return whole.slice(first, first + rows);
}
