import { GraphBuilder } from './onnx-writer.js';

/**
 * Merged = W + scale·left'·right, the low-rank product added to a weight matrix.
 * For a matrix stored [out, in]: left = B [r, out], right = A [r, in]. For down, stored [in, out]:
 * left = A, right = B. Inputs `left` [r, m], `right` [r, n], `weight` [m, n]; output `merged` [m, n].
 */
export function buildMergeGraph(scale: number): Uint8Array {
  const builder = new GraphBuilder('merge');
  builder.input('left', 'float32', ['r', 'm']);
  builder.input('right', 'float32', ['r', 'n']);
  builder.input('weight', 'float32', ['m', 'n']);
  builder.node('Gemm', ['left', 'right', 'weight'], { transA: 1, alpha: { float: scale } }, 'merged');
  builder.output('merged', 'float32', ['m', 'n']);
  return builder.finish();
}
