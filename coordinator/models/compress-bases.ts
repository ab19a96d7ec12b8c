import { requireSparsity } from '@fleetlora/shared/compress';
import { CodedError } from '@fleetlora/shared/errors';
import {
  type Adapter,
  type AdapterMerge,
  type Base,
  type BasePrune,
  type Calibration,
  type Dataset,
  defaultCalibrationRows,
} from '@fleetlora/shared/protocol';
import { decodeGenome, encodeGenome, type Genome, type Precision } from '@fleetlora/shared/space';
import type { CalibrationRows } from './compression-work.js';
import type { ModelWorkshop } from './run-model-work.js';
import { splitFor } from './split-for.js';

/** Bases made of other bases; both are in the catalog afterwards. */
export interface BaseCompression {
  /**
   * Makes a sparse base: the least important weights of each output are 0, by a calibration on rows.
   * @throws NOT_FOUND, ALREADY_EXISTS, BAD_REQUEST for an impossible sparsity, MODEL_CONFIG
   */
  pruneBase(idOrName: string, request: BasePrune): Promise<Base>;
  /**
   * Makes a base of a candidate: its adapter merged into the weights, in fp32 or in the numbers of a
   * quantised precision.
   * @throws NOT_FOUND, ALREADY_EXISTS, GENOME_OUTSIDE_SPACE, ADAPTER_CONFIG, ADAPTER_OTHER_BASE
   */
  mergeAdapter(idOrName: string, request: AdapterMerge): Promise<Base>;
}

/** What it needs of the catalog. */
export interface CompressionParts {
  readonly workshop: Pick<ModelWorkshop, 'run'>;
  readonly incomingFolder: string;
  findBase(idOrName: string): Promise<Base>;
  findAdapter(idOrName: string): Promise<Adapter>;
  findDataset(idOrName: string): Promise<Dataset>;
  /** @throws ALREADY_EXISTS */
  refuseTakenBase(name: string): Promise<void>;
  /** Records a base with an id and a time of its own. */
  insertBase(base: Omit<Base, 'id' | 'createdAtMs'>): Promise<Base>;
}

export function createBaseCompression(parts: CompressionParts): BaseCompression {
  const { workshop, incomingFolder } = parts;
  return {
    async pruneBase(idOrName, { name, sparsity, calibration }) {
      requireSparsity(sparsity);
      await parts.refuseTakenBase(name);
      const base = await parts.findBase(idOrName);
      const { digest, bytes, pruning } = await workshop.run({
        kind: 'pruneBase',
        baseDigest: base.digest,
        tokenizerDigest: base.tokenizerDigest,
        sparsity,
        calibration: await calibrationRows(parts, calibration),
      });
      return parts.insertBase({
        ...sizesOf(base),
        name,
        digest,
        bytes,
        files: { fp32: { digest, bytes } },
        pruning,
      });
    },
    async mergeAdapter(idOrName, { name, candidate, into: asked }) {
      await parts.refuseTakenBase(name);
      const adapter = await parts.findAdapter(idOrName);
      const base = await parts.findBase(adapter.baseId);
      const { genome, into } = genomeFor(candidate, asked);
      const { files } = base;
      const {
        files: made,
        merged,
        pruning,
      } = await workshop.run({
        kind: 'mergeAdapter',
        base: {
          fp32: base.digest,
          ...(files.q8 && { q8: files.q8.digest }),
          ...(files.q4 && { q4: files.q4.digest }),
        },
        adapterDigest: adapter.digest,
        genome: encodeGenome(genome),
        into,
        incomingFolder,
      });
      return parts.insertBase({
        ...sizesOf(base),
        name,
        ...made.fp32,
        files: made,
        merged,
        ...(pruning && { pruning }),
      });
    },
  };
}

/** Rows of a data set to calibrate on: of its train split where there is one. */
export async function calibrationRows(
  { findDataset }: Pick<CompressionParts, 'findDataset'>,
  { dataset, rows = defaultCalibrationRows }: Calibration,
): Promise<CalibrationRows> {
  const { digest } = splitFor(await findDataset(dataset), 'train');
  return { datasetDigest: digest, rows };
}

/** What a base has in common with one that is made of it. */
function sizesOf(
  base: Base,
): Pick<Base, 'parameters' | 'layers' | 'hidden' | 'ffnWidth' | 'kvHeads' | 'vocab' | 'tokenizerDigest'> {
  const { parameters, layers, hidden, ffnWidth, kvHeads, vocab, tokenizerDigest } = base;
  return { parameters, layers, hidden, ffnWidth, kvHeads, vocab, tokenizerDigest };
}

/**
 * A candidate in the precision that it is merged into; one of floats is taken for its choices alone.
 * @throws BAD_REQUEST when it names another precision than the one asked for
 */
function genomeFor(text: string, asked: Precision | undefined): { genome: Genome; into: Precision } {
  const { precision: named = 'fp32', ...choices } = decodeGenome(text);
  const into = asked ?? named;
  if (named !== 'fp32' && named !== into)
    throw new CodedError('BAD_REQUEST', `the candidate is one in ${named}, it was to be merged into ${into}`);
  return { genome: { ...choices, ...(into !== 'fp32' && { precision: into }) }, into };
}
