import type { Random } from '@fleetlora/shared/random';

/** Sizes that no file backs. */
export const hugeSizes = [2 ** 24, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER];

/** Numbers at the edges of what lengths, counts and offsets are stored in. */
const edges = [0, 1, 7, 8, 127, 128, 255, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1].concat(
  hugeSizes,
  [61, 62, 63, 64].map((bits) => 2 ** bits),
);

/** A whole number at an edge, or next to one. */
export function strangeNumber(random: Random): number {
  return random.pick(edges) + random.below(3) - 1;
}

type ByteMutator = (bytes: Uint8Array<ArrayBuffer>, random: Random) => Uint8Array<ArrayBuffer>;

/** A place of a file, more often near its start, where the lengths are. */
export function somePlace(length: number, random: Random): number {
  const within = random.below(3) === 0 ? length : Math.min(length, 256);
  return random.below(Math.max(1, within));
}

const flipBits: ByteMutator = (bytes, random) => {
  for (let flips = 1 + random.below(8); flips > 0 && bytes.length > 0; flips--) {
    const at = somePlace(bytes.length, random);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
  }
  return bytes;
};

const setBytes: ByteMutator = (bytes, random) => {
  const value = random.pick([0, 0x20, 0x22, 0x7f, 0x80, 0xff, random.below(256)]);
  const at = somePlace(bytes.length, random);
  return bytes.fill(value, at, at + 1 + random.below(16));
};

/** A number at an edge where a number stands, or where none does. */
const setNumber: ByteMutator = (bytes, random) => {
  const size = random.pick([4, 8]);
  if (bytes.length < size) return bytes;
  const at = random.below(2) === 0 ? 0 : Math.min(somePlace(bytes.length, random), bytes.length - size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const value = BigInt(random.below(3) === 0 ? bytes.length + random.below(3) - 1 : strangeNumber(random));
  if (size === 8) view.setBigUint64(at, BigInt.asUintN(64, value), true);
  else view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
  return bytes;
};

/** Adds a little to a number, or takes a little from it. */
const moveNumber: ByteMutator = (bytes, random) => {
  if (bytes.length < 8) return bytes;
  const at = Math.min(somePlace(bytes.length, random), bytes.length - 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const moved = view.getBigUint64(at, true) + BigInt(random.below(65) - 32);
  view.setBigUint64(at, BigInt.asUintN(64, moved), true);
  return bytes;
};

const truncate: ByteMutator = (bytes, random) => bytes.slice(0, somePlace(bytes.length, random));

const extend: ByteMutator = (bytes, random) => {
  const longer = new Uint8Array(bytes.length + 1 + random.below(64));
  longer.set(bytes);
  return longer;
};

/** Cuts a stretch out, doubles it, or writes it over another place. */
const moveStretch: ByteMutator = (bytes, random) => {
  const from = somePlace(bytes.length, random);
  const stretch = bytes.slice(from, from + 1 + random.below(64));
  const kind = random.below(3);
  if (kind === 0) {
    bytes.set(stretch.subarray(0, bytes.length - from), Math.min(from, somePlace(bytes.length, random)));
    return bytes;
  }
  const rest = bytes.subarray(kind === 1 ? from + stretch.length : from);
  const out = new Uint8Array(from + (kind === 1 ? 0 : stretch.length) + rest.length);
  out.set(bytes.subarray(0, from));
  if (kind === 2) out.set(stretch, from);
  out.set(rest, out.length - rest.length);
  return out;
};

const mutators = [flipBits, setBytes, setNumber, setNumber, moveNumber, truncate, extend, moveStretch];

/** The bytes after one to three changes that know nothing of any format; the input stays as it is. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  let mutant = new Uint8Array(bytes);
  for (let changes = 1 + random.below(3); changes > 0; changes--)
    mutant = random.pick(mutators)(mutant, random);
  return mutant;
}
