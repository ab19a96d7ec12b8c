import { CodedError } from '../errors.js';
import { quantBlock } from '../graph/base-layout.js';
import {
  numberAt,
  packBlock,
  type QuantisedBlocks,
  type QuantPrecision,
  quantBlockBytes,
  quantZero,
} from '../weights/quantise.js';

/**
 * Numbers of changed weights at the scales that their blocks have already: the nearest to weight / scale,
 * halves to the even one as ONNX Round does, within what the precision can say. A number that stands for
 * 0 stays, so that pruned weights stay pruned; so does all of a block with scale 0, which can say nothing
 * else.
 * @param values F32, `quantBlock` a scale
 * @param blocks as they were before the change
 * @returns U8 as `QuantisedBlocks.q`
 * @throws WEIGHT_SHAPE when values, numbers and scales do not match; WEIGHT_NOT_FINITE
 * @source SQFT (arXiv 2410.03750) section 3.3, QA-SparsePEFT: the base's scales and zero points serve
 *   the merged weights
 */
export function requantiseBlocks(
  values: Float32Array,
  { q, scale }: QuantisedBlocks,
  precision: QuantPrecision,
): Uint8Array {
  const blockBytes = quantBlockBytes(precision);
  if (values.length !== scale.length * quantBlock || q.length !== scale.length * blockBytes)
    throw new CodedError(
      'WEIGHT_SHAPE',
      `${values.length} weights and ${q.length} bytes of ${precision} numbers for ${scale.length} scales, ` +
        `wanted ${scale.length * quantBlock} and ${scale.length * blockBytes}`,
    );
  const zero = quantZero[precision];
  const out = new Uint8Array(q.length);
  const numbers = new Int32Array(quantBlock);
  for (let block = 0; block < scale.length; block++) {
    const by = scale[block] as number;
    for (let i = 0; i < quantBlock; i++) {
      const at = block * quantBlock + i;
      const stored = numberAt(q, at, precision);
      const value = values[at] as number;
      if (!Number.isFinite(value))
        throw new CodedError('WEIGHT_NOT_FINITE', `weight ${at} to quantise is ${value}`);
      if (stored === zero || by === 0) numbers[i] = stored;
      // Rounded to single precision first, as a graph divides.
      else numbers[i] = clamp(roundHalfEven(Math.fround(value / by)), zero) + zero;
    }
    packBlock(numbers, precision, out.subarray(block * blockBytes, (block + 1) * blockBytes));
  }
  return out;
}

const clamp = (number: number, zero: number): number => Math.min(zero - 1, Math.max(-zero, number));

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
