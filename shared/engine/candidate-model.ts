import { CodedError } from '../errors.js';
import type { GraphWeights, WeightFile } from '../graph/graph-weights.js';
import type { LoraSource } from '../graph/lora.js';
import { type ModelShape, readModelShape } from '../graph/model-shape.js';
import { type Genome, uniformGenome } from '../space/genome.js';
import { readAdapterFacts } from '../weights/adapter-facts.js';

/** A model as files of one folder and the choices that cut it. */
export interface CandidateModel {
  /** Folder that holds both files. */
  readonly folder: string;
  readonly base: WeightFile;
  /** A super-adapter or an expanded package; null for the base alone. */
  readonly overlay: WeightFile | null;
  /** null: the plain base at full width. */
  readonly genome: Genome | null;
}

/** What a graph builder needs to know of a candidate. */
export interface ResolvedCandidate {
  readonly shape: ModelShape;
  readonly weights: GraphWeights;
  readonly genome: Genome;
  readonly lora: LoraSource;
  readonly loraScale: number;
}

/**
 * Reads shape, scale and form out of the files.
 * @throws as readModelShape and readAdapterFacts
 * @throws BUG for a merged candidate over an unmerged super-adapter, which would run as the base
 */
export function resolveCandidate(model: CandidateModel): ResolvedCandidate {
  const shape = readModelShape(model.base.file);
  const genome = model.genome ?? uniformGenome(shape.layers, 0, shape.ffnWidth);
  if (genome.form === 'merged' && model.overlay?.file.metadata.format === 'fleetlora-adapter')
    throw new CodedError(
      'BUG',
      'a merged candidate was given a fleetlora-adapter file, wanted its expanded package',
    );
  const facts = model.overlay ? readAdapterFacts(model.overlay.file) : null;
  return {
    shape,
    weights: { base: model.base, overlay: model.overlay },
    genome,
    lora: facts === null || genome.form === 'merged' ? 'none' : 'constants',
    loraScale: facts === null ? 1 : facts.alpha / facts.rankMax,
  };
}
