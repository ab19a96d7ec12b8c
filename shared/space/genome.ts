import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { CodedError } from '../errors.js';

/** Linear modules that share one LoRA rank: q,k,v · o · gate,up · down. */
export const moduleGroups = ['qkv', 'o', 'gateUp', 'down'] as const;
export type ModuleGroup = (typeof moduleGroups)[number];

/** `unmerged`: adapter beside the base the device holds. `merged`: added into the weights. */
export const forms = ['unmerged', 'merged'] as const;
export type Form = (typeof forms)[number];

/** Numbers that the base's linear layers are stored in: 32-bit floats, blocks of 8 or of 4 bits. */
export const precisions = ['fp32', 'q8', 'q4'] as const;
export type Precision = (typeof precisions)[number];

/** What one transformer layer of a candidate looks like. */
export interface LayerGenome {
  /** LoRA rank per module group; 0 leaves the group without an adapter. */
  readonly ranks: Readonly<Record<ModuleGroup, number>>;
  /** FFN channels kept: the first `width` in importance order. */
  readonly width: number;
  /** Key/value heads kept, each with its query heads: the first in importance order. Absent: all. */
  readonly kvHeads?: number;
  /** The layer is left out: its input is its output. Its other choices are then the canonical 0. */
  readonly skipped?: true;
}

/** One candidate: everything a device needs, beside base and super-adapter, to build it. */
export interface Genome {
  readonly form: Form;
  /** Absent: fp32. */
  readonly precision?: Precision;
  readonly layers: readonly LayerGenome[];
}

/** A layer that is left out; the only way it is written. */
export const skippedLayer: LayerGenome = {
  ranks: { qkv: 0, o: 0, gateUp: 0, down: 0 },
  width: 0,
  skipped: true,
};

const LAYER = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})\.(\d{1,4})\.(\d{1,6})(?:\.(\d{1,4}))?$/;
const SKIPPED = '-';
/** No supported model is deeper; a longer text is refused before it is parsed. */
const MAX_LAYERS = 128;
/** 28 characters a layer; a batch of eight such texts fits into one message to a device. */
const MAX_TEXT = 3600;

/**
 * The canonical text of a genome: `g1:u:32.32.32.32.768/...`, one `qkv.o.gateUp.down.width` a
 * layer, `u` or `m` for the form. What that cannot say is written as `g2:u:q4:.../.../...`, with
 * the precision, and a layer as `-` when it is left out, or with `.kvHeads` behind its width.
 * Equal genomes have equal texts.
 */
export function encodeGenome(genome: Genome): string {
  const layers = genome.layers.map(({ ranks, width, kvHeads, skipped }) =>
    skipped
      ? SKIPPED
      : [
          ...moduleGroups.map((group) => ranks[group]),
          width,
          ...(kvHeads === undefined ? [] : [kvHeads]),
        ].join('.'),
  );
  const form = genome.form === 'merged' ? 'm' : 'u';
  const precision = genome.precision ?? 'fp32';
  const isFirst =
    precision === 'fp32' && genome.layers.every(({ kvHeads, skipped }) => kvHeads === undefined && !skipped);
  return isFirst ? `g1:${form}:${layers.join('/')}` : `g2:${form}:${precision}:${layers.join('/')}`;
}

/**
 * Parses a canonical text.
 * @throws GENOME_MALFORMED naming the part that does not fit
 */
export function decodeGenome(text: string): Genome {
  if (text.length > MAX_TEXT)
    throw new CodedError(
      'GENOME_MALFORMED',
      `genome text has ${text.length} characters, at most ${MAX_TEXT} are allowed`,
    );
  const parts = text.split(':');
  const version = parts[0];
  const [form, precision, body, ...rest] =
    version === 'g2' ? parts.slice(1) : [parts[1], 'fp32', parts[2], ...parts.slice(3)];
  if (
    (version !== 'g1' && version !== 'g2') ||
    (form !== 'u' && form !== 'm') ||
    !precisions.some((one) => one === precision) ||
    body === undefined ||
    rest.length > 0
  )
    throw new CodedError(
      'GENOME_MALFORMED',
      `genome "${text.slice(0, 40)}" does not start with g1:u: or g1:m:, or g2:u:q4: and the like`,
    );
  const layers = body.split('/');
  if (layers.length > MAX_LAYERS)
    throw new CodedError('GENOME_MALFORMED', `genome has ${layers.length} layers, at most ${MAX_LAYERS}`);
  const genome: Genome = {
    form: form === 'm' ? 'merged' : 'unmerged',
    ...(precision !== 'fp32' && { precision: precision as Precision }),
    layers: layers.map((part, layer) => decodeLayer(part, layer, version)),
  };
  if (encodeGenome(genome) !== text)
    throw new CodedError(
      'GENOME_MALFORMED',
      'genome text is not canonical (a number has leading zeros, or g2 says what g1 can)',
    );
  return genome;
}

function decodeLayer(part: string, layer: number, version: 'g1' | 'g2'): LayerGenome {
  if (part === SKIPPED && version === 'g2') return skippedLayer;
  const match = LAYER.exec(part);
  if (!match || (match[6] !== undefined && version === 'g1'))
    throw new CodedError(
      'GENOME_MALFORMED',
      `layer ${layer} of the genome is "${part.slice(0, 40)}", wanted qkv.o.gateUp.down.width`,
    );
  const [qkv = 0, o = 0, gateUp = 0, down = 0, width = 0] = match.slice(1, 6).map(Number);
  const kvHeads = match[6];
  return {
    ranks: { qkv, o, gateUp, down },
    width,
    ...(kvHeads !== undefined && { kvHeads: Number(kvHeads) }),
  };
}

/**
 * What candidates must share to run in one session with their factors as inputs: everything but
 * ranks, and which modules have no adapter at all. The text of the genome with every rank above 0
 * written as 1.
 */
export function shapeOf(genome: Genome): string {
  const one = (rank: number): number => Math.min(rank, 1);
  const layers = genome.layers.map((layer) => {
    const { qkv, o, gateUp, down } = layer.ranks;
    return { ...layer, ranks: { qkv: one(qkv), o: one(o), gateUp: one(gateUp), down: one(down) } };
  });
  return encodeGenome({ ...genome, layers });
}

/** SHA-256 of the canonical text, lower-case hex. */
export function digestGenome(genome: Genome): string {
  return bytesToHex(sha256(utf8ToBytes(encodeGenome(genome))));
}

/** A genome with the same choice in every layer. */
export function uniformGenome(
  layers: number,
  rank: number | Readonly<Record<ModuleGroup, number>>,
  width: number,
  form: Form = 'unmerged',
): Genome {
  const ranks = typeof rank === 'number' ? { qkv: rank, o: rank, gateUp: rank, down: rank } : rank;
  return { form, layers: Array.from({ length: layers }, () => ({ ranks, width })) };
}
