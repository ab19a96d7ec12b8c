import { appendMaskedSum, appendSum } from './masked-product.js';
import { GraphBuilder } from './onnx-writer.js';

/**
 * Merged = W + scale·left'·right, the low-rank product added to a weight matrix; `masked`: only where
 * W is not 0.
 * For a matrix stored [out, in]: left = B [r, out], right = A [r, in]. For down, stored [in, out]:
 * left = A, right = B. Inputs `left` [r, m], `right` [r, n], `weight` [m, n]; output `merged` [m, n].
 */
export function buildMergeGraph(scale: number, sum: 'plain' | 'masked' = 'plain'): Uint8Array {
  const builder = new GraphBuilder('merge');
  builder.input('left', 'float32', ['r', 'm']);
  builder.input('right', 'float32', ['r', 'n']);
  builder.input('weight', 'float32', ['m', 'n']);
  const append = sum === 'masked' ? appendMaskedSum : appendSum;
  append(builder, 'weight', { left: 'left', right: 'right', scale }, 'merged');
  builder.output('merged', 'float32', ['m', 'n']);
  return builder.finish();
}
