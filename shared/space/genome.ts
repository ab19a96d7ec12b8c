import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { CodedError } from '../errors.js';

/** Linear modules that share one LoRA rank: q,k,v · o · gate,up · down. */
export const moduleGroups = ['qkv', 'o', 'gateUp', 'down'] as const;
export type ModuleGroup = (typeof moduleGroups)[number];

/** `unmerged`: adapter beside the base the device holds. `merged`: added into the weights. */
export const forms = ['unmerged', 'merged'] as const;
export type Form = (typeof forms)[number];

/** What one transformer layer of a candidate looks like. */
export interface LayerGenome {
  /** LoRA rank per module group; 0 leaves the group without an adapter. */
  readonly ranks: Readonly<Record<ModuleGroup, number>>;
  /** FFN channels kept: the first `width` in importance order. */
  readonly width: number;
}

/** One candidate: everything a device needs, beside base and super-adapter, to build it. */
export interface Genome {
  readonly form: Form;
  readonly layers: readonly LayerGenome[];
}

const LAYER = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})\.(\d{1,4})\.(\d{1,6})$/;
/** No supported model is deeper; a longer text is refused before it is parsed. */
const MAX_LAYERS = 128;
const MAX_TEXT = 16 + MAX_LAYERS * 28;

/**
 * The canonical text of a genome: `g1:u:32.32.32.32.768/...`, one `qkv.o.gateUp.down.width` a
 * layer, `u` or `m` for the form. Equal genomes have equal texts.
 */
export function encodeGenome(genome: Genome): string {
  const layers = genome.layers.map(
    ({ ranks, width }) => `${moduleGroups.map((group) => ranks[group]).join('.')}.${width}`,
  );
  return `g1:${genome.form === 'merged' ? 'm' : 'u'}:${layers.join('/')}`;
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
  const [version, form, body, ...rest] = text.split(':');
  if (version !== 'g1' || (form !== 'u' && form !== 'm') || body === undefined || rest.length > 0)
    throw new CodedError(
      'GENOME_MALFORMED',
      `genome "${text.slice(0, 40)}" does not start with g1:u: or g1:m:`,
    );
  const parts = body.split('/');
  if (parts.length > MAX_LAYERS)
    throw new CodedError('GENOME_MALFORMED', `genome has ${parts.length} layers, at most ${MAX_LAYERS}`);
  const layers = parts.map((part, layer): LayerGenome => {
    const match = LAYER.exec(part);
    if (!match)
      throw new CodedError(
        'GENOME_MALFORMED',
        `layer ${layer} of the genome is "${part.slice(0, 40)}", wanted qkv.o.gateUp.down.width`,
      );
    const [qkv, o, gateUp, down, width] = match.slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { ranks: { qkv, o, gateUp, down }, width };
  });
  const genome: Genome = { form: form === 'm' ? 'merged' : 'unmerged', layers };
  if (encodeGenome(genome) !== text)
    throw new CodedError('GENOME_MALFORMED', 'genome text is not canonical (a number has leading zeros)');
  return genome;
}

/**
 * What candidates must share to run in one session with their factors as inputs: form, widths, and
 * which modules have no adapter at all. The text of the genome with every rank above 0 written as 1.
 */
export function shapeOf(genome: Genome): string {
  const one = (rank: number): number => Math.min(rank, 1);
  const layers = genome.layers.map(({ ranks, width }) => ({
    ranks: { qkv: one(ranks.qkv), o: one(ranks.o), gateUp: one(ranks.gateUp), down: one(ranks.down) },
    width,
  }));
  return encodeGenome({ form: genome.form, layers });
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
