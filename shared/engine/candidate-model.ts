import { CodedError } from '../errors.js';
import { type BaseLayout, readBaseLayout } from '../graph/base-layout.js';
import type { GraphWeights, WeightFile } from '../graph/graph-weights.js';
import { checkFit } from '../graph/layer-cut.js';
import type { LoraSource } from '../graph/lora.js';
import type { ModelShape } from '../graph/model-shape.js';
import type { SessionOptions } from '../runtime.js';
import { type Genome, type Precision, uniformGenome } from '../space/genome.js';
import { readAdapterFacts, requireMask } from '../weights/adapter-facts.js';
import type { AdapterFacts } from '../weights/package-plan.js';

/** A model as files of one folder and the choices that cut it. */
export interface CandidateModel {
  /** Folder that holds both files. */
  readonly folder: string;
  readonly base: WeightFile;
  /** A super-adapter or an expanded package; null for the base alone. */
  readonly overlay: WeightFile | null;
  /** null: the plain base at full width, in the precision of its file. */
  readonly genome: Genome | null;
}

/** What a graph builder needs to know of a candidate. */
export interface ResolvedCandidate {
  readonly shape: ModelShape;
  readonly layout: BaseLayout;
  readonly weights: GraphWeights;
  readonly genome: Genome;
  readonly lora: LoraSource;
  readonly loraScale: number;
  /** The adapter counts only where the base's weights are not 0: see AdapterFacts. */
  readonly masked: boolean;
}

/**
 * Reads shape, scale and form out of the files.
 * @throws as readBaseLayout, readAdapterFacts and checkFit
 * @throws ADAPTER_OTHER_BASE when a super-adapter is of another base than a quantised one was made of or
 *   masked by the base in another precision
 * @throws BUG for a merged candidate over an unmerged super-adapter, which would run as the base
 */
export function resolveCandidate(model: CandidateModel): ResolvedCandidate {
  const layout = readBaseLayout(model.base.file);
  const { shape } = layout;
  const genome = model.genome ?? plainGenome(layout);
  const facts = model.overlay ? readAdapterFacts(model.overlay.file) : null;
  checkFit(genome, layout, facts?.rankMax ?? null);
  checkSource(layout, model.overlay);
  if (facts) requireSessionMask(facts, layout.precision);
  if (genome.form === 'merged' && model.overlay?.file.metadata.format === 'fleetlora-adapter')
    throw new CodedError(
      'BUG',
      'a merged candidate was given a fleetlora-adapter file, wanted its expanded package',
    );
  return {
    shape,
    layout,
    weights: { base: model.base, overlay: model.overlay },
    genome,
    lora: facts === null || genome.form === 'merged' ? 'none' : 'constants',
    loraScale: facts === null ? 1 : facts.alpha / facts.rankMax,
    masked: facts?.masked !== undefined,
  };
}

/**
 * Makes sure that a session can compute with a super-adapter's factors beside a base.
 * @throws ADAPTER_OTHER_BASE as requireMask; ADAPTER_CONFIG for one that was trained for the numbers of
 *   a quantised base, which is computed with once it is merged into them
 */
export function requireSessionMask(facts: AdapterFacts, precision: Precision): void {
  requireMask(facts, precision);
  if (facts.masked !== undefined && facts.masked !== 'fp32')
    throw new CodedError(
      'ADAPTER_CONFIG',
      `the adapter was trained for the numbers of its base in ${facts.masked}, wanted it merged into them (adapter merge)`,
    );
}

/**
 * Refuses a masked adapter where its factors stay beside the weights, which cannot be masked.
 * @throws ADAPTER_CONFIG
 */
export function refuseMasked({ masked, lora }: Pick<ResolvedCandidate, 'masked' | 'lora'>): void {
  if (masked && lora !== 'none')
    throw new CodedError(
      'ADAPTER_CONFIG',
      'the adapter is masked by the zeros of its base, wanted a merged candidate of it',
    );
}

/** The base alone: every layer at full width, without an adapter. */
function plainGenome({ shape, precision }: BaseLayout): Genome {
  const genome = uniformGenome(shape.layers, 0, shape.ffnWidth);
  return precision === 'fp32' ? genome : { ...genome, precision };
}

/** A quantised base has the channels of the fp32 one that it was made of, in their order. */
export function checkSource({ sourceBaseDigest }: BaseLayout, overlay: WeightFile | null): void {
  const { format, baseDigest = 'none' } = overlay?.file.metadata ?? {};
  if (sourceBaseDigest !== null && format === 'fleetlora-adapter' && baseDigest !== sourceBaseDigest)
    throw new CodedError(
      'ADAPTER_OTHER_BASE',
      `adapter file is for base ${baseDigest}, the quantised base was made of ${sourceBaseDigest}`,
    );
}

/**
 * How a session may hold the weights: quantised ones only in the kernels' own layout, since without
 * it their product takes fifteen times as long.
 */
export function weightsOption(
  { precision }: BaseLayout,
  wanted: SessionOptions['weights'],
): Pick<SessionOptions, 'weights'> {
  return { weights: precision === 'fp32' ? (wanted ?? 'prepacked') : 'prepacked' };
}
