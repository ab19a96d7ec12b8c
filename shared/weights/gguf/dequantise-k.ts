import { halfAt } from '../half.js';

/**
 * The "K" types: superblocks of 256 values, whose parts have small whole-number scales of their own.
 * @source ggml-quants.c, dequantize_row_q4_K, _q5_K, _q6_K; block_q*_K of ggml-common.h
 */

const SUPERBLOCK = 256;
const { fround } = Math;

/** [d, dmin, 12 bytes of scales, 128 × u8]: 8 parts of 32 values, d · scale · q - dmin · least */
export function dequantiseQ4K(bytes: Uint8Array): Float32Array {
  const blocks = bytes.length / 144;
  const out = new Float32Array(blocks * SUPERBLOCK);
  for (let block = 0; block < blocks; block++) {
    const at = block * 144;
    for (let part = 0; part < 8; part++) {
      const { scale, least } = partScale(bytes, at, part);
      // Parts 2i and 2i + 1 are the low and the high halves of the same 32 bytes.
      const from = at + 16 + (part >> 1) * 32;
      const shift = (part & 1) * 4;
      const to = block * SUPERBLOCK + part * 32;
      for (let j = 0; j < 32; j++)
        out[to + j] = fround(scale * (((bytes[from + j] as number) >> shift) & 15)) - least;
    }
  }
  return out;
}

/** As Q4_K with 32 bytes of fifth bits before the 128: bit `part` of byte j is that of value j of the part. */
export function dequantiseQ5K(bytes: Uint8Array): Float32Array {
  const blocks = bytes.length / 176;
  const out = new Float32Array(blocks * SUPERBLOCK);
  for (let block = 0; block < blocks; block++) {
    const at = block * 176;
    for (let part = 0; part < 8; part++) {
      const { scale, least } = partScale(bytes, at, part);
      const from = at + 48 + (part >> 1) * 32;
      const shift = (part & 1) * 4;
      const to = block * SUPERBLOCK + part * 32;
      for (let j = 0; j < 32; j++) {
        const low = ((bytes[from + j] as number) >> shift) & 15;
        const fifth = (((bytes[at + 16 + j] as number) >> part) & 1) << 4;
        out[to + j] = fround(scale * (low | fifth)) - least;
      }
    }
  }
  return out;
}

/**
 * [128 bytes of low halves, 64 bytes of upper bit pairs, 16 × i8 scales, d]: 16 parts of 16 values,
 * d · scale · (q - 32). Value i of a half superblock lies in low byte i mod 64 and upper byte i mod 32.
 */
export function dequantiseQ6K(bytes: Uint8Array): Float32Array {
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const blocks = bytes.length / 210;
  const out = new Float32Array(blocks * SUPERBLOCK);
  for (let block = 0; block < blocks; block++) {
    const at = block * 210;
    const d = halfAt(bytes, at + 208);
    for (let part = 0; part < 16; part++) {
      const scale = fround(d * (signed[at + 192 + part] as number));
      const half = part >> 3;
      const to = block * SUPERBLOCK + part * 16;
      for (let j = 0; j < 16; j++) {
        const i = (part & 7) * 16 + j;
        const low = ((bytes[at + half * 64 + (i & 63)] as number) >> (i < 64 ? 0 : 4)) & 15;
        const upper = ((bytes[at + 128 + half * 32 + (i & 31)] as number) >> (2 * (i >> 5))) & 3;
        out[to + j] = scale * ((low | (upper << 4)) - 32);
      }
    }
  }
  return out;
}

/**
 * Scale and least value of one of the 8 parts of a Q4_K or Q5_K superblock: 6 bits each, those of
 * the first four parts whole in bytes 0-3 and 4-7, of which the upper bits and bytes 8-11 hold the
 * others.
 */
function partScale(bytes: Uint8Array, at: number, part: number): { scale: number; least: number } {
  const d = halfAt(bytes, at);
  const dmin = halfAt(bytes, at + 2);
  const byte = (index: number): number => bytes[at + 4 + index] as number;
  const [scale, least] =
    part < 4
      ? [byte(part) & 63, byte(part + 4) & 63]
      : [
          (byte(part + 4) & 15) | ((byte(part - 4) >> 6) << 4),
          (byte(part + 4) >> 4) | ((byte(part) >> 6) << 4),
        ];
  return { scale: fround(d * scale), least: fround(dmin * least) };
}
