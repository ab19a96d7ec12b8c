/**
 * 16-bit floats as bit patterns. Rounding is to nearest, ties to even, as every framework's
 * `.half()` and `.bfloat16()` do it.
 */

const scratch = new DataView(new ArrayBuffer(4));
let halfTable: Float32Array | undefined;

/** Value of an IEEE 754 binary16 bit pattern: 1 sign, 5 exponent, 10 mantissa bits. */
function decodeHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** All 65,536 half values (256 KiB), made at first use: widening is then one load a value. */
function halfValues(): Float32Array {
  if (!halfTable) halfTable = Float32Array.from({ length: 65536 }, (_, bits) => decodeHalf(bits));
  return halfTable;
}

/** The F16 value that starts at a byte, little-endian; exact. */
export function halfAt(bytes: Uint8Array, offset: number): number {
  return halfValues()[(bytes[offset] as number) | ((bytes[offset + 1] as number) << 8)] as number;
}

/** Widens little-endian F16 bytes; exact. */
export function floatsFromHalf(bytes: Uint8Array): Float32Array {
  const table = halfValues();
  const out = new Float32Array(bytes.length >> 1);
  for (let i = 0; i < out.length; i++)
    out[i] = table[(bytes[2 * i] as number) | ((bytes[2 * i + 1] as number) << 8)] as number;
  return out;
}

/** Widens little-endian BF16 bytes; exact, since BF16 is the upper half of an F32. */
export function floatsFromBfloat(bytes: Uint8Array): Float32Array {
  const bits = new Uint32Array(bytes.length >> 1);
  for (let i = 0; i < bits.length; i++)
    bits[i] = ((bytes[2 * i] as number) << 16) | ((bytes[2 * i + 1] as number) << 24);
  return new Float32Array(bits.buffer);
}

function floatBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** Bit pattern of the F16 nearest to an F32; values that round past 65504 become infinity. */
export function halfBits(value: number): number {
  const bits = floatBits(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is half way between 65504 and the next step, and ties go to even: to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14 a half is a whole number of 2^-24; scaling by 2^24 is exact in a double.
    const scaled = Math.abs(value) * 2 ** 24;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    return sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor);
  }
  // Rebias the exponent from 127 to 15, then drop 13 mantissa bits; a carry moves up the exponent.
  const rebiased = magnitude - ((127 - 15) << 23);
  const rest = rebiased & 0x1fff;
  const kept = rebiased >>> 13;
  return sign | (rest > 0x1000 || (rest === 0x1000 && kept & 1) ? kept + 1 : kept);
}

/** Bit pattern of the BF16 nearest to an F32. */
export function bfloatBits(value: number): number {
  const bits = floatBits(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  const rest = bits & 0xffff;
  const kept = bits >>> 16;
  return rest > 0x8000 || (rest === 0x8000 && kept & 1) ? kept + 1 : kept;
}

/** The F32 that storing a value as F16 and reading it again gives. */
export function roundToHalf(value: number): number {
  return halfValues()[halfBits(value)] as number;
}
