import {
  bfloatBits,
  floatsFromBfloat,
  floatsFromHalf,
  halfBits,
  roundToHalf,
} from '@fleetlora/shared/weights';
import t from 'tap';

const halves: readonly [string, number, number][] = [
  ['one', 1, 0x3c00],
  ['minus two', -2, 0xc000],
  ['minus zero', -0, 0x8000],
  ['largest half, 65504', 65504, 0x7bff],
  ['just inside, 65519', 65519, 0x7bff],
  ['half way past the largest, 65520', 65520, 0x7c00],
  ['smallest normal, 2^-14', 2 ** -14, 0x0400],
  ['smallest subnormal, 2^-24', 2 ** -24, 0x0001],
  ['tie with zero, 2^-25', 2 ** -25, 0x0000],
  ['just over the tie with zero', 2 ** -25 * (1 + 2 ** -20), 0x0001],
  ['tie between two subnormals, 1.5 x 2^-24', 1.5 * 2 ** -24, 0x0002],
  ['tie between subnormal and normal, 1023.5 x 2^-24', 1023.5 * 2 ** -24, 0x0400],
  ['tie to the even below, 1 + 2^-11', 1 + 2 ** -11, 0x3c00],
  ['just over that tie', 1 + 2 ** -11 + 2 ** -20, 0x3c01],
  ['tie to the even above, 1 + 3 x 2^-11', 1 + 3 * 2 ** -11, 0x3c02],
  ['carry into the exponent, 2 - 2^-11', 2 - 2 ** -11, 0x4000],
  ['infinity', Number.POSITIVE_INFINITY, 0x7c00],
  ['not a number', Number.NaN, 0x7e00],
];
for (const [what, value, bits] of halves)
  t.test(`F16 of ${what} is 0x${bits.toString(16)}`, async (t) => t.equal(halfBits(value), bits));

t.test('every one of the 65,536 half patterns is read and written back unchanged', async (t) => {
  const bytes = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer);
  const wrong: number[] = [];
  floatsFromHalf(bytes).forEach((value, bits) => {
    if (Number.isNaN(value) ? (bits & 0x7fff) <= 0x7c00 : halfBits(value) !== bits) wrong.push(bits);
  });
  t.same(wrong, []);
  t.equal(roundToHalf(3.1), 3.099609375, '3.1 is 3 + 51.2/512, and 51/512 is nearest');
});

const bfloats: readonly [string, number, number][] = [
  ['one', 1, 0x3f80],
  ['tie to the even below, 1 + 2^-8', 1 + 2 ** -8, 0x3f80],
  ['just over that tie', 1 + 2 ** -8 + 2 ** -16, 0x3f81],
  ['tie to the even above, 1 + 3 x 2^-8', 1 + 3 * 2 ** -8, 0x3f82],
  ['a value past the largest, 3.4e38', 3.4e38, 0x7f80],
  ['not a number', Number.NaN, 0x7fc0],
];
for (const [what, value, bits] of bfloats)
  t.test(`BF16 of ${what} is 0x${bits.toString(16)}`, async (t) => t.equal(bfloatBits(value), bits));

t.test('BF16 0x4049 reads as 3.140625', async (t) => {
  t.same([...floatsFromBfloat(Uint8Array.of(0x49, 0x40))], [3.140625]);
});
