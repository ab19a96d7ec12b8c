import type { LayerGenome } from '../space/genome.js';
import { type BaseWeights, bindBaseMatrix } from './base-product.js';
import { bindBias } from './graph-weights.js';
import { cutShape } from './layer-cut.js';
import type { LoraFactors } from './lora.js';
import { type ModuleName, moduleDims } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';

/** A low-rank product as it is added to a stored matrix [m, n]. */
export interface StoredProduct {
  /** [r, m]: B, or A of down, which is stored [in, out]. */
  readonly left: string;
  /** [r, n]: A, or B of down. */
  readonly right: string;
  readonly scale: number;
}

export function storedProduct(module: ModuleName, { a, b }: LoraFactors, scale: number): StoredProduct {
  return module === 'down' ? { left: a, right: b, scale } : { left: b, right: a, scale };
}

/** Where a matrix has weights that are exactly 0, a boolean [m, n]. */
export function appendZeros(builder: GraphBuilder, weight: string): string {
  return builder.node('Equal', [weight, builder.constant({ float: 0 })]);
}

/** W + scale·leftᵀ·right, [m, n]. */
export function appendSum(
  builder: GraphBuilder,
  weight: string,
  { left, right, scale }: StoredProduct,
  output?: string,
): string {
  return builder.node('Gemm', [left, right, weight], { transA: 1, alpha: { float: scale } }, output);
}

/**
 * The same where W is not 0; where it is, 0 stays, so that a sparse matrix stays exactly as sparse.
 * @source SQFT section 3.2, SparsePEFT: the product is masked by W != 0
 */
export function appendMaskedSum(
  builder: GraphBuilder,
  weight: string,
  product: StoredProduct,
  output?: string,
): string {
  const zeros = appendZeros(builder, weight);
  return builder.node('Where', [zeros, weight, appendSum(builder, weight, product)], {}, output);
}

/**
 * x·(W + masked product) (+ bias) of a linear module of an fp32 base, cut to a layer's choices:
 * [T, in] → [T, out]. With factors that are constants the sum is folded at load.
 */
export function appendMaskedProduct(
  builder: GraphBuilder,
  base: BaseWeights,
  at: { readonly layer: number; readonly module: ModuleName; readonly genes: LayerGenome },
  x: string,
  factors: LoraFactors,
  scale: number,
): string {
  const { layer, module, genes } = at;
  const { weights, layout } = base;
  const weight = bindBaseMatrix(builder, base, layer, module, genes);
  const sum = appendMaskedSum(builder, weight, storedProduct(module, factors, scale));
  const [, output] = moduleDims(cutShape(layout.shape, genes), module);
  const bias = bindBias(builder, weights, layout.shape, layer, module, output);
  return builder.node('Gemm', [x, sum, ...bias], module === 'down' ? {} : { transB: 1 });
}
