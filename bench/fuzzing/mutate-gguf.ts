import type { Random } from '@fleetlora/shared/random';
import { encodeGguf, type GgufField, type GgufPart, type GgufParts } from './encode-gguf.js';
import { mutateBytes, strangeNumber } from './mutate-bytes.js';
import { ggufFieldMutators } from './mutate-gguf-fields.js';
import { ggufTensorMutators } from './mutate-gguf-tensors.js';

interface Mutant {
  readonly fields: (readonly [string, GgufField])[];
  readonly tensors: GgufPart[];
}

const mutators: readonly ((mutant: Mutant, random: Random) => void)[] = [
  ...ggufTensorMutators.map(
    (mutate) =>
      ({ tensors }: Mutant, random: Random): void =>
        mutate(tensors, random),
  ),
  ...ggufFieldMutators.map(
    (mutate) =>
      ({ fields }: Mutant, random: Random): void =>
        mutate(fields, random),
  ),
];

/** A file with a head that is right, of a model that is not. */
export function mutateGgufBehindHead(parts: GgufParts, random: Random): Uint8Array {
  const mutant: Mutant = { fields: [...parts.fields], tensors: [...parts.tensors] };
  for (let changes = 1 + random.below(3); changes > 0; changes--) random.pick(mutators)(mutant, random);
  return encodeGguf(mutant).bytes;
}

/** A file with a head that is mostly wrong: anywhere in its bytes, or in one or two of its numbers. */
export function mutateGgufHead(parts: GgufParts, random: Random): Uint8Array {
  const { bytes, numbers } = encodeGguf(parts);
  if (random.below(3) === 0) return mutateBytes(bytes, random);
  const mutant = new Uint8Array(bytes);
  const view = new DataView(mutant.buffer);
  for (let changes = 1 + random.below(2); changes > 0; changes--) {
    const { at, size } = random.pick(numbers);
    const value =
      random.below(2) === 0 ? strangeNumber(random) : view.getUint32(at, true) + random.pick([-1, 1, 32]);
    if (size === 4) view.setUint32(at, value >>> 0, true);
    else view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
  }
  return mutant;
}
