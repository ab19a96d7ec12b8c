import { floatsFromBfloat, floatsFromHalf } from '../half.js';
import { dequantiseQ40, dequantiseQ41, dequantiseQ50, dequantiseQ51, dequantiseQ80 } from './dequantise.js';
import { dequantiseQ4K, dequantiseQ5K, dequantiseQ6K } from './dequantise-k.js';

/** How the values of a tensor are stored: in blocks, each of so many bytes. */
export interface GgufTensorType {
  readonly name: string;
  /** Neighbours within a row that are stored together; rows hold whole blocks. */
  readonly blockValues: number;
  readonly blockBytes: number;
  /** The values of whole blocks, in F32 arithmetic, each step rounded. */
  dequantise(blocks: Uint8Array): Float32Array;
}

/** By ggml's number. @source ggml.h, enum ggml_type; ggml-common.h, block sizes */
export const ggufTensorTypes: ReadonlyMap<number, GgufTensorType> = new Map([
  [0, { name: 'F32', blockValues: 1, blockBytes: 4, dequantise: floatsFromBytes }],
  [1, { name: 'F16', blockValues: 1, blockBytes: 2, dequantise: floatsFromHalf }],
  [2, { name: 'Q4_0', blockValues: 32, blockBytes: 18, dequantise: dequantiseQ40 }],
  [3, { name: 'Q4_1', blockValues: 32, blockBytes: 20, dequantise: dequantiseQ41 }],
  [6, { name: 'Q5_0', blockValues: 32, blockBytes: 22, dequantise: dequantiseQ50 }],
  [7, { name: 'Q5_1', blockValues: 32, blockBytes: 24, dequantise: dequantiseQ51 }],
  [8, { name: 'Q8_0', blockValues: 32, blockBytes: 34, dequantise: dequantiseQ80 }],
  [12, { name: 'Q4_K', blockValues: 256, blockBytes: 144, dequantise: dequantiseQ4K }],
  [13, { name: 'Q5_K', blockValues: 256, blockBytes: 176, dequantise: dequantiseQ5K }],
  [14, { name: 'Q6_K', blockValues: 256, blockBytes: 210, dequantise: dequantiseQ6K }],
  [30, { name: 'BF16', blockValues: 1, blockBytes: 2, dequantise: floatsFromBfloat }],
]);

/** Types that exist and are not read, for messages alone. */
const otherTypes: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [10, 'Q2_K'],
  [11, 'Q3_K'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
  [39, 'MXFP4'],
]);

/** A type number as people know it: "Q2_K", or "number 99". */
export function nameGgufType(type: number): string {
  return ggufTensorTypes.get(type)?.name ?? otherTypes.get(type) ?? `number ${type}`;
}

function floatsFromBytes(bytes: Uint8Array): Float32Array {
  // A copy, because the bytes may start at an address that no 4-byte view may start at.
  return new Float32Array(new Uint8Array(bytes).buffer);
}
