import { type Static, Type } from 'typebox';
import { CodedError } from '../errors.js';
import { decodeGenome, type Precision } from '../space/genome.js';
import { BaseMerged, BasePruning } from './compression.js';
import { Bytes, closed, Digest, Id, Name, Nullable, TimeMs } from './fields.js';

/** A stored weight file. */
export const BaseFile = Type.Object({ digest: Digest, bytes: Bytes });
export type BaseFile = Static<typeof BaseFile>;

/** A base has its fp32 file from the start, the others once somebody has them made. */
export const BaseFiles = Type.Object({
  fp32: BaseFile,
  q8: Type.Optional(BaseFile),
  q4: Type.Optional(BaseFile),
});
export type BaseFiles = Static<typeof BaseFiles>;

export const Base = Type.Object({
  id: Id,
  name: Name,
  /** Of the fp32 file, by which adapters name their base. */
  digest: Digest,
  bytes: Bytes,
  parameters: Type.Integer(),
  layers: Type.Integer(),
  hidden: Type.Integer(),
  ffnWidth: Type.Integer(),
  /** Key/value heads of a layer; null in a record of before they were noted, whose file cannot be read. */
  kvHeads: Nullable(Type.Integer()),
  vocab: Type.Integer(),
  tokenizerDigest: Digest,
  files: BaseFiles,
  /** Absent: no weight was pruned. */
  pruning: Type.Optional(BasePruning),
  /** Absent: the weights are a model's own. */
  merged: Type.Optional(BaseMerged),
  createdAtMs: TimeMs,
});
export type Base = Static<typeof Base>;

/** Precisions that a base's fp32 file is made into. */
export const quantPrecisions = ['q8', 'q4'] as const satisfies readonly Exclude<Precision, 'fp32'>[];
export const BaseQuantise = Type.Object({ precision: Type.Enum([...quantPrecisions]) }, closed);
export type BaseQuantise = Static<typeof BaseQuantise>;

/** The command that makes a base's file of another precision, as it is typed. */
export function quantiseCommand(baseName: string, precision: Precision): string {
  const name = baseName.includes(' ') ? `"${baseName}"` : baseName;
  return `fleetlora base quantise ${name} --precision ${precision}`;
}

/**
 * Digest of the weight file that a candidate runs on.
 * @param genome its text
 * @throws NOT_FOUND when the base has no file of its precision, naming the command that makes it;
 *   GENOME_MALFORMED
 */
export function baseDigestFor({ name, files }: Pick<Base, 'name' | 'files'>, genome: string): string {
  const { precision = 'fp32' } = decodeGenome(genome);
  const file = files[precision];
  if (file === undefined)
    throw new CodedError(
      'NOT_FOUND',
      `base "${name}" has no weight file in ${precision}, which the candidate runs on; to make it: ${quantiseCommand(name, precision)}`,
    );
  return file.digest;
}
