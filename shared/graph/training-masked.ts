import type { Precision } from '../space/genome.js';
import { quantZero } from '../weights/quantise.js';
import { quantBlock } from './base-layout.js';
import { loraName } from './lora.js';
import { appendSum, appendZeros, type StoredProduct } from './masked-product.js';
import type { ModuleName } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';

/** What a masked module keeps from its forward pass beside its weight. */
export interface MaskedTape {
  readonly product: StoredProduct;
  /** Boolean, as the weight: where it does not follow the product, and there is no gradient. */
  readonly held: string;
}

/** How the weights of a quantised base are rounded. */
export interface NumberSteps {
  readonly precision: Exclude<Precision, 'fp32'>;
  /** The scales of the weight's blocks: [out, in / 32], of down [in / 32, out]. */
  readonly steps: string;
  /** Columns of down, which it is stored by; null for matrices [out, in]. */
  readonly downColumns: number | null;
}

/**
 * The weight that a masked module multiplies by: W + scale·leftᵀ·right where W is not 0 and, beside a
 * quantised base, the nearest that its numbers can say: clamp(round(sum / step)) · step. To the
 * gradient rounding looks like nothing at all, and the ends of the numbers like a wall.
 * @source SQFT (arXiv 2410.03750) sections 3.2 and 3.3; straight-through estimator, Bengio et al. 2013
 */
export function appendMaskedWeight(
  builder: GraphBuilder,
  weight: string,
  product: StoredProduct,
  numbers: NumberSteps | null,
): { readonly weight: string; readonly tape: MaskedTape } {
  const node = builder.node.bind(builder);
  const zeros = appendZeros(builder, weight);
  const sum = appendSum(builder, weight, product);
  if (numbers === null)
    return { weight: node('Where', [zeros, weight, sum]), tape: { product, held: zeros } };
  const { precision, steps, downColumns } = numbers;
  // Blocks of 32 inputs beside one step each; those of down run along its rows.
  const rest = downColumns === null ? [] : [downColumns];
  const step = node('Reshape', [steps, builder.constant([-1, 1, ...rest])]);
  const blocks = node('Reshape', [sum, builder.constant([-1, quantBlock, ...rest])]);
  const number = node('Round', [node('Div', [blocks, step])]);
  const zero = quantZero[precision];
  const possible = node('Clip', [
    number,
    builder.constant({ float: -zero }),
    builder.constant({ float: zero - 1 }),
  ]);
  const dims = node('Shape', [sum]);
  const rounded = node('Reshape', [node('Mul', [possible, step]), dims]);
  // A block whose scale is 0 has nothing but zeros, which are held: what is divided there is not used.
  const isBeyond = node('Reshape', [node('Not', [node('Equal', [possible, number])]), dims]);
  return {
    weight: node('Where', [zeros, weight, rounded]),
    tape: { product, held: node('Or', [zeros, isBeyond]) },
  };
}

/** Emits `grad.*` of a masked module's factors: with dW = dyᵀ·x where it is not held. */
export function appendMaskedGradients(
  builder: GraphBuilder,
  at: { readonly layer: number; readonly module: ModuleName },
  { product, held }: MaskedTape,
  x: string,
  dy: string,
): void {
  const isDown = at.module === 'down';
  const dWeight = builder.node('Gemm', isDown ? [x, dy] : [dy, x], { transA: 1 });
  const dSum = builder.node('Where', [held, builder.constant({ float: 0 }), dWeight]);
  const scale = { alpha: { float: product.scale } };
  const gradient = (factor: 'A' | 'B'): string => `grad.${loraName(at.layer, at.module, factor)}`;
  const [left, right] = [gradient(isDown ? 'A' : 'B'), gradient(isDown ? 'B' : 'A')];
  builder.node('Gemm', [product.right, dSum], { transB: 1, ...scale }, left);
  builder.node('Gemm', [product.left, dSum], scale, right);
  for (const name of [left, right]) builder.output(name, 'float32', ['?', '?']);
}

/** The tensor of a dequantised base file that holds a module's steps. */
export function stepsName(layer: number, module: ModuleName): string {
  return `layers.${layer}.${module}.steps`;
}
