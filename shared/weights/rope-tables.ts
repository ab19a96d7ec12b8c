import type { ModelShape } from '../graph/model-shape.js';
import { type RopeFrequencies, type RopeScaling, ropeFrequencies } from './rope-scaling.js';

type RopeShape = Pick<ModelShape, 'positions' | 'headDim' | 'ropeTheta' | 'ropeScaling'>;

/**
 * Cosine and sine of the rotary angles, each [positions, headDim / 2] row-major: angle = position ·
 * frequency, both times the scaling's attention factor.
 * @source RoFormer, arXiv 2104.09864 equation 15; transformers LlamaRotaryEmbedding
 */
export function ropeTables(shape: RopeShape): { cos: Float32Array; sin: Float32Array } {
  const rope = ropeOf(shape);
  return {
    cos: ropeRows(rope, 'cos', 0, shape.positions),
    sin: ropeRows(rope, 'sin', 0, shape.positions),
  };
}

/** Frequencies of a shape, whose record of a scaling is one that was parsed. */
export function ropeOf({ headDim, ropeTheta, ropeScaling }: Omit<RopeShape, 'positions'>): RopeFrequencies {
  return ropeFrequencies(headDim, ropeTheta, ropeScaling as RopeScaling | undefined);
}

/** Rows of one table, from position `first` on: [rows, headDim / 2]. */
export function ropeRows(
  { frequencies, attentionFactor }: RopeFrequencies,
  table: 'cos' | 'sin',
  first: number,
  rows: number,
): Float32Array {
  const half = frequencies.length;
  const values = new Float32Array(rows * half);
  const factor = Math.fround(attentionFactor);
  const wave = Math[table];
  for (let i = 0; i < half; i++) {
    const frequency = frequencies[i] as number;
    for (let row = 0; row < rows; row++) {
      const turn = Math.fround(wave(Math.fround((first + row) * frequency)));
      values[row * half + i] = turn * factor;
    }
  }
  return values;
}
