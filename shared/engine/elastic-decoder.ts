import { CodedError } from '../errors.js';
import { buildInferenceGraph } from '../graph/inference-graph.js';
import { checkFit } from '../graph/layer-cut.js';
import type { Runtime, Tensor } from '../runtime.js';
import { encodeGenome, type Genome } from '../space/genome.js';
import { loadAdapterFactors } from './adapter-slices.js';
import { resolveCandidate } from './candidate-model.js';
import {
  checkPositions,
  createDecoder,
  type Decoder,
  type DecoderOptions,
  sessionOptions,
} from './decoder.js';
import type { SharedModel } from './shared-decoder.js';

/** A session that runs any rank vector of the shape that it was opened with. */
export interface ElasticDecoder extends Decoder {
  /** Whose run the next one is. */
  readonly genome: Genome;
  /**
   * Makes later runs those of another candidate, of which nothing but the genome is needed. Tokens in
   * the cache stay, as the candidate before wrote them.
   * @throws BAD_REQUEST when it differs in more than ranks, naming both; GENOME_OUTSIDE_SPACE for
   *   ranks that the super-adapter does not have
   */
  switchTo(genome: Genome): void;
}

/**
 * Loads a candidate so that others which differ in ranks alone, 0 among them, can take its place
 * without a new session: the factors are graph inputs, views of the super-adapter in memory.
 *
 * A step costs a little more than that of `openDecoder`, whose factors are constants; to compare the
 * times of candidates there is `openSharedDecoder`.
 * @throws BAD_REQUEST for a merged candidate; what openDecoder throws
 */
export async function openElasticDecoder(
  runtime: Runtime,
  model: SharedModel,
  genome: Genome,
  options: DecoderOptions,
): Promise<ElasticDecoder> {
  if (genome.form === 'merged')
    throw new CodedError(
      'BAD_REQUEST',
      `candidate ${encodeGenome(genome)} is merged, wanted unmerged: merged ranks are in the weights`,
    );
  const resolved = resolveCandidate({ ...model, genome });
  checkPositions(resolved.shape, options.positions);
  const factors = await loadAdapterFactors(model.overlay.file, resolved.shape);
  const { modules, rankMax } = factors.facts;
  const session = await runtime.createSession(
    buildInferenceGraph({
      ...resolved,
      lora: 'inputs',
      loraModules: modules,
      head: 'logits',
      cachePositions: options.positions,
    }),
    sessionOptions(model.folder, resolved, options),
  );
  const shape = withoutRanks(genome);
  let current = genome;
  let feeds: Readonly<Record<string, Tensor>> = factors.feeds(genome);
  const decoder = createDecoder(session, resolved, options.positions, () => feeds);
  return {
    positions: decoder.positions,
    vocab: decoder.vocab,
    get length() {
      return decoder.length;
    },
    prefill: decoder.prefill,
    step: decoder.step,
    reset: decoder.reset,
    setLength: decoder.setLength,
    close: decoder.close,
    get genome() {
      return current;
    },
    switchTo(next) {
      if (withoutRanks(next) !== shape)
        throw new CodedError(
          'BAD_REQUEST',
          `candidate ${encodeGenome(next)} differs from ${encodeGenome(genome)} in more than ranks, wanted one of its shape`,
        );
      checkFit(next, resolved.layout, rankMax);
      feeds = factors.feeds(next);
      current = next;
    },
  };
}

/** The text of a genome with every rank written as 0: what a session with factor inputs is built for. */
function withoutRanks(genome: Genome): string {
  const none = { qkv: 0, o: 0, gateUp: 0, down: 0 };
  return encodeGenome({ ...genome, layers: genome.layers.map((layer) => ({ ...layer, ranks: none })) });
}
