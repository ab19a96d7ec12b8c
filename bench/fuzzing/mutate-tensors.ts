import { limits } from '@fleetlora/shared/protocol/limits';
import type { Random } from '@fleetlora/shared/random';
import { type Dtype, dtypeBytes, elementCount } from '@fleetlora/shared/weights';
import { hugeSizes, mutateBytes } from './mutate-bytes.js';
import { mutateJsonText, mutateJsonValue } from './mutate-json.js';

/** A safetensors file taken apart. */
export interface TensorParts {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly TensorPart[];
}
export interface TensorPart {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

type Parts = { metadata: Record<string, string>; tensors: TensorPart[] };

const LENGTH_BYTES = 8;
/** Of one tensor: an empty one may become anything. */
const MAX_BYTES = 65_536;
/** Bit patterns of NaN, infinity, the largest and the smallest number, in F32 and in halves. */
const strangeWords = [0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 1, 0x7c007c00, 0x7e00fe00, 0xffffffff];

/** Takes a good file apart. */
export function takeApart(bytes: Uint8Array): TensorParts {
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const start = LENGTH_BYTES + headerBytes;
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, start)),
  ) as Record<string, { dtype: Dtype; shape: number[]; data_offsets: [number, number] }> & {
    __metadata__?: Record<string, string>;
  };
  const tensors = Object.entries(entries).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]) => ({
      name,
      dtype,
      shape,
      data: bytes.slice(start + begin, start + end),
    }),
  );
  return { metadata, tensors };
}

/** The file of the parts, whose header is right in all that a header says of itself. */
export function putTogether({ metadata, tensors }: TensorParts): Uint8Array {
  let position = 0;
  // Not an object: its keys would be put into another order, and __proto__ would be no key.
  const entries = [`"__metadata__":${JSON.stringify(metadata)}`];
  for (const { name, dtype, shape, data } of tensors) {
    const entry = { dtype, shape, data_offsets: [position, position + data.length] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    position += data.length;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  return joinFile(
    json,
    BigInt(json.length),
    tensors.map(({ data }) => data),
  );
}

function joinFile(json: Uint8Array, told: bigint, data: readonly Uint8Array[]): Uint8Array {
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setBigUint64(0, BigInt.asUintN(64, told), true);
  return Buffer.concat([length, json, ...data]);
}

type PartsMutator = (parts: Parts, random: Random) => void;

/** Exchanges one tensor. */
const change =
  (make: (tensor: TensorPart, random: Random, parts: Parts) => TensorPart): PartsMutator =>
  (parts, random) => {
    if (parts.tensors.length === 0) return;
    const at = random.below(parts.tensors.length);
    parts.tensors[at] = make(parts.tensors[at] as TensorPart, random, parts);
  };

/** The tensor with another dtype or shape, and as many bytes as that takes. */
function resized(tensor: TensorPart, changes: Partial<Pick<TensorPart, 'dtype' | 'shape'>>): TensorPart {
  const next = { ...tensor, ...changes };
  const bytes = elementCount(next.shape) * dtypeBytes[next.dtype];
  if (bytes > MAX_BYTES) return tensor;
  const data = new Uint8Array(bytes);
  if (tensor.data.length > 0)
    for (let at = 0; at < data.length; at++) data[at] = tensor.data[at % tensor.data.length] as number;
  return { ...next, data };
}

const strangeNumbers = change((tensor, random) => {
  const data = new Uint8Array(tensor.data);
  const view = new DataView(data.buffer);
  for (let count = 1 + random.below(4); count > 0 && data.length >= 4; count--)
    view.setUint32(random.below(data.length - 3), random.pick(strangeWords), true);
  return { ...tensor, data };
});

const otherDtype = change((tensor, random) =>
  resized(tensor, { dtype: random.pick(Object.keys(dtypeBytes) as Dtype[]) }),
);

const otherShape = change((tensor, random) => {
  const shape = [...tensor.shape];
  const axis = random.below(Math.max(1, shape.length));
  const size = shape[axis] ?? 1;
  const kind = random.below(6);
  if (kind === 0) return { ...tensor, shape: shape.reverse() };
  if (kind === 1) return { ...tensor, shape: [elementCount(shape)] };
  if (kind === 2) return { ...tensor, shape: [...shape, 1] };
  if (kind === 3) return resized(tensor, { shape: [] });
  shape[axis] = random.pick([0, 1, size + 1, Math.max(0, size - 1), size * 2, Math.floor(size / 2)]);
  return resized(tensor, { shape });
});

/** No elements, and so no bytes, however large the other sizes are. */
const hugeAndEmpty = change((tensor, random) => {
  const shape = tensor.shape.map(() => (random.below(2) === 0 ? random.pick(hugeSizes) : random.below(9)));
  shape[random.below(Math.max(1, shape.length))] = 0;
  return { ...tensor, shape, data: new Uint8Array(0) };
});

const rename = change((tensor, random, { tensors }) => {
  const { name } = tensor;
  const next = random.pick([
    name.replace(/\d+/, String(random.pick([1, 2, 9999, 2 ** 31]))),
    name.replace('.weight', '.default.weight'),
    name.replace('lora_A', 'lora_B'),
    name.replace(/[a-z]_proj/, random.pick(['q_proj', 'up_proj', 'down_proj'])),
    `${name}${random.pick(['.A', ' ', '\u0000', '\ud800', '.bias'])}`,
    random.pick(['__proto__', 'constructor', '', '__pad.0', 'x'.repeat(10_000), 'ffnOrder']),
  ]);
  return tensors.some((other) => other.name === next) || next === '__metadata__'
    ? tensor
    : { ...tensor, name: next };
});

const drop: PartsMutator = ({ tensors }, random) => {
  tensors.splice(random.below(Math.max(1, tensors.length)), 1 + random.below(2));
};

const reorder: PartsMutator = (parts, random) => {
  parts.tensors = random.shuffle(parts.tensors);
};

const swapNames: PartsMutator = ({ tensors }, random) => {
  if (tensors.length < 2) return;
  const [one, other] = [random.below(tensors.length), random.below(tensors.length)];
  const [first, second] = [tensors[one] as TensorPart, tensors[other] as TensorPart];
  tensors[one] = { ...first, name: second.name };
  if (one !== other) tensors[other] = { ...second, name: first.name };
};

const changeMetadata: PartsMutator = ({ metadata }, random) => {
  const keys = Object.keys(metadata);
  const key = keys.length === 0 ? 'format' : random.pick(keys);
  const value = metadata[key] ?? '';
  const kind = random.below(8);
  if (kind === 0) delete metadata[key];
  else if (kind === 1) metadata[key] = 'x'.repeat(random.pick([0, 1000, 100_000]));
  else metadata[key] = /^[\d{[]/.test(value) ? mutateJsonText(value, random) : String(random.pick(hugeSizes));
};

const partsMutators = [strangeNumbers, otherDtype, otherShape, otherShape, hugeAndEmpty, rename, drop].concat(
  [reorder, swapNames, changeMetadata, changeMetadata],
);

/** A file with a header that is right, of a model that is not. */
export function mutateBehindHeader(parts: TensorParts, random: Random): Uint8Array {
  const mutant: Parts = { metadata: { ...parts.metadata }, tensors: [...parts.tensors] };
  for (let changes = 1 + random.below(3); changes > 0; changes--) random.pick(partsMutators)(mutant, random);
  return putTogether(mutant);
}

/** A file with a header that is mostly wrong: anywhere in its bytes, or in the text of the header. */
export function mutateHeader(parts: TensorParts, random: Random): Uint8Array {
  const file = putTogether(parts);
  if (random.below(2) === 0) return mutateBytes(file, random);
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder().decode(file.subarray(LENGTH_BYTES, LENGTH_BYTES + headerBytes));
  const mutate = random.pick([mutateJsonText, mutateJsonValue, moveTensor]);
  const changed = mutate(text, random);
  const json = new TextEncoder().encode(random.below(HUGE_ONE_IN) === 0 ? blowUp(changed, random) : changed);
  // Mostly the length of the new text, so that it is read to its end.
  const told = BigInt(random.below(8) === 0 ? headerBytes : json.length);
  return joinFile(json, told, [file.subarray(LENGTH_BYTES + headerBytes)]);
}

/** One tensor in the place of another, or a little before or behind its own. */
function moveTensor(text: string, random: Random): string {
  const places = [...text.matchAll(/"data_offsets":\[(\d+),(\d+)\]/g)];
  if (places.length === 0) return text;
  const { 0: old, 1: begin, 2: end, index } = random.pick(places);
  const other = Number(random.pick(places)[1]);
  const by = random.below(2) === 0 ? other - Number(begin) : random.pick([-4, -1, 1, 4]);
  const moved = `"data_offsets":[${Number(begin) + by},${Number(end) + by}]`;
  return text.slice(0, index) + moved + text.slice(index + old.length);
}

/** Headers that are blown up take as long as thousands of others. */
const HUGE_ONE_IN = 2000;

/** A header of about as many bytes as one may have, of what takes most memory for them. */
function blowUp(text: string, random: Random): string {
  const bytes = limits.safetensorsHeaderBytes - text.length + random.pick([-100, -10, 10]);
  const filler = random.pick(['[', '{"":', '[],', '0,', '{},']);
  const many = filler.repeat(Math.floor(bytes / filler.length));
  return random.below(4) === 0 ? `${text}${' '.repeat(bytes)}` : `{"a":[${many}0],${text.slice(1)}`;
}
