import { CodedError } from '../../errors.js';
import { halfBits } from '../half.js';

/**
 * Values in the block types of llama.cpp that need no calibration: 32 of them behind their scale d, an
 * F16. A scale is used before it is rounded to F16, as llama.cpp does it.
 * @throws WEIGHT_NOT_FINITE
 * @source ggml-quants.c, quantize_row_q8_0_ref and quantize_row_q4_0_ref
 */

const BLOCK = 32;
const HALF_BLOCK = BLOCK / 2;
const { fround } = Math;

/** [d, 32 × i8] a block; the largest magnitude becomes 127. @param values whole blocks */
export function quantiseQ80(values: Float32Array): Uint8Array {
  return eachBlock(values, 34, (block, target) => {
    const d = fround(Math.abs(extremeOf(block)) / 127);
    const inverse = d === 0 ? 0 : fround(1 / d);
    putHalf(target, d);
    for (let j = 0; j < BLOCK; j++) target[2 + j] = roundAway(fround((block[j] as number) * inverse));
  });
}

/** [d, 16 × u8] a block, value j in the low half of byte j and value j + 16 in its high half; the extreme becomes -8. */
export function quantiseQ40(values: Float32Array): Uint8Array {
  return eachBlock(values, 18, (block, target) => {
    const d = fround(extremeOf(block) / -8);
    const inverse = d === 0 ? 0 : fround(1 / d);
    const numberOf = (j: number): number => {
      const shifted = fround(fround((block[j] as number) * inverse) + 8.5);
      return Math.min(15, Math.trunc(shifted));
    };
    putHalf(target, d);
    for (let j = 0; j < HALF_BLOCK; j++) target[2 + j] = numberOf(j) | (numberOf(HALF_BLOCK + j) << 4);
  });
}

function eachBlock(
  values: Float32Array,
  blockBytes: number,
  quantise: (block: Float32Array, target: Uint8Array) => void,
): Uint8Array {
  const blocks = values.length / BLOCK;
  const bytes = new Uint8Array(blocks * blockBytes);
  for (let i = 0; i < blocks; i++)
    quantise(
      values.subarray(i * BLOCK, (i + 1) * BLOCK),
      bytes.subarray(i * blockBytes, (i + 1) * blockBytes),
    );
  return bytes;
}

/** The value of the largest magnitude, the first of equals, with its sign. */
function extremeOf(block: Float32Array): number {
  let extreme = 0;
  for (let j = 0; j < BLOCK; j++) {
    const value = block[j] as number;
    if (!Number.isFinite(value)) throw new CodedError('WEIGHT_NOT_FINITE', `weight to quantise is ${value}`);
    if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  }
  return extreme;
}

/** C's roundf: halves go away from zero. */
function roundAway(value: number): number {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

function putHalf(target: Uint8Array, value: number): void {
  const bits = halfBits(value);
  target[0] = bits & 0xff;
  target[1] = bits >> 8;
}
