import type { Random } from '@fleetlora/shared/random';
import type { GgufField } from './encode-gguf.js';
import { strangeNumber } from './mutate-bytes.js';

type NamedField = readonly [key: string, field: GgufField];

/** Changes one metadata field of a file, or which there are. */
export type GgufFieldMutator = (fields: NamedField[], random: Random) => void;

const dropField: GgufFieldMutator = (fields, random) => {
  fields.splice(random.below(Math.max(1, fields.length)), 1);
};
const changeField: GgufFieldMutator = (fields, random) => {
  if (fields.length === 0) return;
  const at = random.below(fields.length);
  const [key, field] = fields[at] as NamedField;
  // It says where the data are, and so belongs to the head.
  if (key !== 'general.alignment') fields[at] = [key, strangeField(field, random)];
};

const strangeFloats = [0, -1, 1e-30, 1e30, Number.NaN, Number.POSITIVE_INFINITY, -0.5];
const strangeTexts = [
  '',
  'llama',
  'qwen2',
  'mistral',
  'none',
  'yarn',
  'linear',
  '\u0000',
  '▁',
  '<0x0A>',
  '{{',
  'x'.repeat(100_000),
];

function strangeField(field: GgufField, random: Random): GgufField {
  const kind = random.below(8);
  if (kind === 0) return { kind: 'string', value: random.pick(strangeTexts) };
  if (kind === 1) return { kind: random.pick(['u32', 'i32', 'u64']), value: strangeNumber(random) };
  if (kind === 2) return { kind: 'f32', value: random.pick(strangeFloats) };
  if (kind === 3) return { kind: 'i32s', value: [strangeNumber(random), 1] };
  switch (field.kind) {
    case 'string':
      return { kind: 'string', value: random.pick(strangeTexts) };
    case 'f32':
      return { kind: 'f32', value: random.pick(strangeFloats) };
    case 'strings':
      return { kind: 'strings', value: changeList(field.value, random, () => random.pick(strangeTexts)) };
    case 'i32s':
      return { kind: 'i32s', value: changeList(field.value, random, () => strangeNumber(random)) };
    case 'f32s':
      return { kind: 'f32s', value: changeList(field.value, random, () => random.pick(strangeFloats)) };
    default:
      return { kind: field.kind, value: Math.max(0, field.value + random.pick([-1, 1, 16, 1000])) };
  }
}

function changeList<T>(list: readonly T[], random: Random, strange: () => T): T[] {
  const changed = [...list];
  const at = random.below(changed.length + 1);
  const kind = random.below(4);
  if (kind === 0) changed.splice(at, 1 + random.below(8));
  else if (kind === 1) changed.splice(at, 0, strange());
  else if (kind === 2 && at < changed.length) changed[at] = changed[random.below(changed.length)] as T;
  else if (at < changed.length) changed[at] = strange();
  return changed;
}

/** Most change a field, since every one of them has its own readers. */
export const ggufFieldMutators: readonly GgufFieldMutator[] = [
  dropField,
  changeField,
  changeField,
  changeField,
  changeField,
];
