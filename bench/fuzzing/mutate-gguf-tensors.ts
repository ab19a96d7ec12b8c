import type { Random } from '@fleetlora/shared/random';
import { ggufTensorTypes } from '@fleetlora/shared/weights';
import { type GgufPart, ggufBytes } from './encode-gguf.js';
import { hugeSizes } from './mutate-bytes.js';

/** Changes one tensor of a file, or which there are. */
export type GgufTensorMutator = (tensors: GgufPart[], random: Random) => void;

/** Of one tensor: an empty one may become anything. */
const MAX_BYTES = 65_536;

const change =
  (make: (tensor: GgufPart, random: Random, tensors: readonly GgufPart[]) => GgufPart): GgufTensorMutator =>
  (tensors, random) => {
    if (tensors.length === 0) return;
    const at = random.below(tensors.length);
    tensors[at] = make(tensors[at] as GgufPart, random, tensors);
  };

/** The tensor with another type or shape, and as many bytes as that takes. */
function resized(tensor: GgufPart, changes: Partial<Pick<GgufPart, 'type' | 'shape'>>): GgufPart {
  const next = { ...tensor, ...changes };
  // A row is whole blocks, or the head would be wrong.
  const { blockValues = 1 } = ggufTensorTypes.get(next.type) ?? {};
  const shape = [...next.shape];
  const row = shape.length - 1;
  shape[row] = Math.ceil((shape[row] as number) / blockValues) * blockValues;
  const bytes = ggufBytes(shape, next.type);
  if (bytes > MAX_BYTES) return tensor;
  const data = new Uint8Array(bytes);
  if (tensor.data.length > 0)
    for (let at = 0; at < data.length; at++) data[at] = tensor.data[at % tensor.data.length] as number;
  return { ...next, shape, data };
}

const strangeData = change((tensor, random) => {
  const data = new Uint8Array(tensor.data);
  return { ...tensor, data: data.fill(random.pick([0, 0x7f, 0xff]), random.below(data.length + 1)) };
});
const otherType = change((tensor, random) =>
  resized(tensor, { type: random.pick([...ggufTensorTypes.keys()]) }),
);
const otherShape = change((tensor, random) => {
  const shape = [...tensor.shape];
  const axis = random.below(shape.length);
  const size = shape[axis] as number;
  const kind = random.below(4);
  if (kind === 0) return resized(tensor, { shape: shape.reverse() });
  if (kind === 1 && shape.length < 4) return resized(tensor, { shape: [1, ...shape] });
  shape[axis] = random.pick([0, 1, size + 1, Math.max(0, size - 1), size * 2]);
  return resized(tensor, { shape });
});
/** No values, and so no bytes, however large the other sizes are. */
const hugeAndEmpty = change((tensor, random) => {
  const shape = tensor.shape.map(() => (random.below(2) === 0 ? random.pick(hugeSizes) : random.below(9)));
  const { blockValues = 1 } = ggufTensorTypes.get(tensor.type) ?? {};
  shape[shape.length - 1] = random.below(2) === 0 ? 0 : blockValues;
  if (shape.length === 1 || shape[shape.length - 1] !== 0) shape[0] = 0;
  return { ...tensor, shape, data: new Uint8Array(0) };
});
const rename = change((tensor, random, tensors) => {
  const { name } = tensor;
  const next = random.pick([
    name.replace(/\d+/, String(random.pick([1, 2, 9999]))),
    name.replace('.weight', '.bias'),
    random.pick(['__proto__', '', 'output.weight', 'rope_freqs.weight', 'x'.repeat(10_000), '\u0000']),
  ]);
  return tensors.some((other) => other.name === next) ? tensor : { ...tensor, name: next };
});
const swapNames: GgufTensorMutator = (tensors, random) => {
  if (tensors.length < 2) return;
  const [one, other] = [random.below(tensors.length), random.below(tensors.length)];
  const [first, second] = [tensors[one] as GgufPart, tensors[other] as GgufPart];
  tensors[one] = { ...first, name: second.name };
  if (one !== other) tensors[other] = { ...second, name: first.name };
};
const drop: GgufTensorMutator = (tensors, random) => {
  tensors.splice(random.below(Math.max(1, tensors.length)), 1);
};

/** Each leaves the head in agreement with the tensors. */
export const ggufTensorMutators: readonly GgufTensorMutator[] = [
  strangeData,
  otherType,
  otherShape,
  hugeAndEmpty,
  rename,
  swapNames,
  drop,
];
