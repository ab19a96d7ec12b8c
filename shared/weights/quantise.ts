import { CodedError } from '../errors.js';
import { quantBlock } from '../graph/base-layout.js';
import type { Precision } from '../space/genome.js';

/** Precisions that are not plain floats. */
export type QuantPrecision = Exclude<Precision, 'fp32'>;

/** Bits of one stored weight. */
export const quantBits: Readonly<Record<QuantPrecision, number>> = { q8: 8, q4: 4 };

/** The number that stands for weight 0, so that a pruned weight stays exactly 0. */
export const quantZero: Readonly<Record<QuantPrecision, number>> = { q8: 128, q4: 8 };

/**
 * Precision of the embedding and of the head in a file of each precision. Every token passes through them,
 * so llama.cpp's quantiser spares them too.
 */
export const tablePrecisions: Readonly<Record<QuantPrecision, QuantPrecision>> = { q8: 'q8', q4: 'q8' };

/** Blocks of `quantBlock` weights, one after another. */
export interface QuantisedBlocks {
  /** U8 [blocks, 32 · bits / 8]; q4: the even weight of a pair in the low half of the byte. */
  readonly q: Uint8Array;
  /** F32 [blocks]; may be negative. weight = scale · (stored - quantZero). */
  readonly scale: Float32Array;
}

/** Bytes that one block's numbers take. */
export function quantBlockBytes(precision: QuantPrecision): number {
  return (quantBlock * quantBits[precision]) / 8;
}

/**
 * Quantises weights in blocks of 32. A matrix [out, in] whose `in` is a multiple of 32 is its rows'
 * blocks one after another, so whole rows may be given a few at a time.
 *
 * q8: the largest magnitude of a block becomes ±127. q4: the scale is the best of a few around the
 * one that makes the largest magnitude -8, each refined by least squares to what it rounds to;
 * about 7 % less squared error than the plain one.
 * @param values F32, a multiple of 32 of them
 * @throws WEIGHT_SHAPE for another number of weights, WEIGHT_NOT_FINITE naming the weight
 */
export function quantiseBlocks(values: Float32Array, precision: QuantPrecision): QuantisedBlocks {
  if (values.length % quantBlock !== 0)
    throw new CodedError(
      'WEIGHT_SHAPE',
      `${values.length} weights to quantise, wanted a multiple of ${quantBlock}`,
    );
  const blocks = values.length / quantBlock;
  const blockBytes = quantBlockBytes(precision);
  const q = new Uint8Array(blocks * blockBytes);
  const scale = new Float32Array(blocks);
  const numbers = new Int32Array(quantBlock);
  for (let block = 0; block < blocks; block++) {
    const from = block * quantBlock;
    const weights = values.subarray(from, from + quantBlock);
    const extreme = extremeOf(weights, from);
    const chosen = Math.fround(precision === 'q8' ? extreme / 127 : chooseScale(weights, extreme));
    scale[block] = chosen;
    roundBlock(weights, chosen, precision, numbers);
    packBlock(numbers, precision, q.subarray(block * blockBytes, (block + 1) * blockBytes));
  }
  return { q, scale };
}

/** The weights that quantised blocks stand for. @throws WEIGHT_SHAPE when numbers and scales do not match */
export function dequantiseBlocks({ q, scale }: QuantisedBlocks, precision: QuantPrecision): Float32Array {
  const blockBytes = quantBlockBytes(precision);
  if (q.length !== scale.length * blockBytes)
    throw new CodedError(
      'WEIGHT_SHAPE',
      `${q.length} bytes of ${precision} numbers for ${scale.length} scales, wanted ${scale.length * blockBytes}`,
    );
  const values = new Float32Array(scale.length * quantBlock);
  for (let i = 0; i < values.length; i++) {
    const by = scale[Math.floor(i / quantBlock)] as number;
    values[i] = by * (numberAt(q, i, precision) - quantZero[precision]);
  }
  return values;
}

/** The stored number of weight `index`. */
export function numberAt(q: Uint8Array, index: number, precision: QuantPrecision): number {
  if (precision === 'q8') return q[index] as number;
  const pair = q[index >> 1] as number;
  return index % 2 === 0 ? pair & 0x0f : pair >> 4;
}

/** Packs stored numbers, 0 to 2^bits - 1, as `QuantisedBlocks.q` says. */
export function packBlock(numbers: ArrayLike<number>, precision: QuantPrecision, target: Uint8Array): void {
  for (let i = 0; i < target.length; i++)
    target[i] =
      precision === 'q8'
        ? (numbers[i] as number)
        : (numbers[2 * i] as number) | ((numbers[2 * i + 1] as number) << 4);
}

/** The weight of the largest magnitude, with its sign. */
function extremeOf(weights: Float32Array, from: number): number {
  let extreme = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (!Number.isFinite(weight))
      throw new CodedError('WEIGHT_NOT_FINITE', `weight ${from + i} to quantise is ${weight}`);
    if (Math.abs(weight) > Math.abs(extreme)) extreme = weight;
  }
  return extreme;
}

/** Numbers of `weights` at a scale, the zero added; halves round up. */
function roundBlock(
  weights: Float32Array,
  scale: number,
  precision: QuantPrecision,
  numbers: Int32Array,
): void {
  const zero = quantZero[precision];
  // A scale that underflowed to 0 leaves nothing to tell apart.
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let i = 0; i < weights.length; i++) {
    const number = Math.round((weights[i] as number) * inverse);
    numbers[i] = Math.min(zero - 1, Math.max(-zero, number)) + zero;
  }
}

/** Where the largest magnitude comes to lie, in steps of the scale: from clipped to with room above. */
const Q4_EXTREMES = [-8.8, -8.4, -8, -7.7, -7.4, -7.1, -6.8, -6.4];

/** The q4 scale of least squared error among those tried. */
function chooseScale(weights: Float32Array, extreme: number): number {
  let best = 0;
  let leastError = Number.POSITIVE_INFINITY;
  if (extreme === 0) return best;
  for (const place of Q4_EXTREMES) {
    const inverse = place / extreme;
    let dot = 0;
    let squares = 0;
    let total = 0;
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i] as number;
      const number = Math.min(7, Math.max(-8, Math.round(weight * inverse)));
      dot += weight * number;
      squares += number * number;
      total += weight * weight;
    }
    // For these numbers the best scale is dot / squares, and this is the error it leaves.
    const error = total - (dot * dot) / squares;
    if (error < leastError) {
      leastError = error;
      best = dot / squares;
    }
  }
  return best;
}
