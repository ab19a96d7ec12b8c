import type { ModelShape } from '../graph/model-shape.js';

/**
 * Cosine and sine of the rotary angles, each [positions, headDim / 2] row-major:
 * angle = position · theta^(-2i / headDim). Every step is rounded to F32 as PyTorch rounds it,
 * because at a position of some hundreds the rounding of the frequency shows in the angle.
 * @source RoFormer, arXiv 2104.09864 equation 15; transformers LlamaRotaryEmbedding
 */
export function ropeTables(shape: Pick<ModelShape, 'positions' | 'headDim' | 'ropeTheta'>): {
  cos: Float32Array;
  sin: Float32Array;
} {
  const half = shape.headDim / 2;
  const cos = new Float32Array(shape.positions * half);
  const sin = new Float32Array(shape.positions * half);
  for (let i = 0; i < half; i++) {
    const exponent = Math.fround((2 * i) / shape.headDim);
    const frequency = Math.fround(1 / Math.fround(shape.ropeTheta ** exponent));
    for (let position = 0; position < shape.positions; position++) {
      const angle = Math.fround(position * frequency);
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
