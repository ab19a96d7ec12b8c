import { halfAt } from '../half.js';

/**
 * The block types of 32 values. `d` is the scale of a block and `m` its least value, both F16 in
 * front; then the fifth bits of all values where there are any, then bytes that hold value j in
 * their low and value j + 16 in their high half.
 * @source ggml-quants.c, dequantize_row_q*
 */

const BLOCK = 32;
const HALF_BLOCK = BLOCK / 2;
const { fround } = Math;

/** [d, 32 × i8]: d · q */
export function dequantiseQ80(bytes: Uint8Array): Float32Array {
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  return eachBlock(bytes, 34, (at, out, to) => {
    const d = halfAt(bytes, at);
    for (let j = 0; j < BLOCK; j++) out[to + j] = d * (signed[at + 2 + j] as number);
  });
}

/** [d, 16 × u8]: d · (q - 8) */
export function dequantiseQ40(bytes: Uint8Array): Float32Array {
  return eachBlock(bytes, 18, (at, out, to) => {
    const d = halfAt(bytes, at);
    for (let j = 0; j < HALF_BLOCK; j++) {
      const pair = bytes[at + 2 + j] as number;
      out[to + j] = d * ((pair & 15) - 8);
      out[to + HALF_BLOCK + j] = d * ((pair >> 4) - 8);
    }
  });
}

/** [d, m, 16 × u8]: d · q + m */
export function dequantiseQ41(bytes: Uint8Array): Float32Array {
  return eachBlock(bytes, 20, (at, out, to) => {
    const d = halfAt(bytes, at);
    const m = halfAt(bytes, at + 2);
    for (let j = 0; j < HALF_BLOCK; j++) {
      const pair = bytes[at + 4 + j] as number;
      out[to + j] = fround(d * (pair & 15)) + m;
      out[to + HALF_BLOCK + j] = fround(d * (pair >> 4)) + m;
    }
  });
}

/** [d, u32 of fifth bits, 16 × u8]: d · (q - 16) */
export function dequantiseQ50(bytes: Uint8Array): Float32Array {
  return eachBlock(bytes, 22, (at, out, to) => {
    const d = halfAt(bytes, at);
    for (let j = 0; j < HALF_BLOCK; j++) {
      const pair = bytes[at + 6 + j] as number;
      out[to + j] = d * (((pair & 15) | fifthBit(bytes, at + 2, j)) - 16);
      out[to + HALF_BLOCK + j] = d * (((pair >> 4) | fifthBit(bytes, at + 2, HALF_BLOCK + j)) - 16);
    }
  });
}

/** [d, m, u32 of fifth bits, 16 × u8]: d · q + m */
export function dequantiseQ51(bytes: Uint8Array): Float32Array {
  return eachBlock(bytes, 24, (at, out, to) => {
    const d = halfAt(bytes, at);
    const m = halfAt(bytes, at + 2);
    for (let j = 0; j < HALF_BLOCK; j++) {
      const pair = bytes[at + 8 + j] as number;
      out[to + j] = fround(d * ((pair & 15) | fifthBit(bytes, at + 4, j))) + m;
      out[to + HALF_BLOCK + j] = fround(d * ((pair >> 4) | fifthBit(bytes, at + 4, HALF_BLOCK + j))) + m;
    }
  });
}

/** Bit `j` of the little-endian u32 at `at`, as the 16 that it stands for. */
function fifthBit(bytes: Uint8Array, at: number, j: number): number {
  return (((bytes[at + (j >> 3)] as number) >> (j & 7)) & 1) << 4;
}

function eachBlock(
  bytes: Uint8Array,
  blockBytes: number,
  write: (at: number, out: Float32Array, to: number) => void,
): Float32Array {
  const blocks = bytes.length / blockBytes;
  const out = new Float32Array(blocks * BLOCK);
  for (let block = 0; block < blocks; block++) write(block * blockBytes, out, block * BLOCK);
  return out;
}
