import { CodedError } from '../errors.js';
import { buildInferenceGraph } from '../graph/inference-graph.js';
import { floatTensor, type Runtime, type Tensor } from '../runtime.js';
import { encodeGenome, type Genome, shapeOf } from '../space/genome.js';
import { loadAdapterFactors } from './adapter-slices.js';
import { type CandidateModel, refuseMasked, resolveCandidate } from './candidate-model.js';
import {
  checkPositions,
  createDecoder,
  type Decoder,
  type DecoderOptions,
  sessionOptions,
} from './decoder.js';

/** Several candidates of one shape in one session and with one KV cache. */
export interface SharedDecoder extends Decoder {
  /** How many candidates there are. */
  readonly size: number;
  /** Which of them the next run is of; 0 at first. */
  readonly current: number;
  /**
   * Makes later runs those of another candidate. Nothing else changes: tokens in the cache stay.
   * @throws BAD_REQUEST outside 0 to size - 1
   */
  use(index: number): void;
}

/** The files of a batch of candidates. */
export type SharedModel = Pick<CandidateModel, 'folder' | 'base'> & {
  /** A super-adapter. */
  readonly overlay: NonNullable<CandidateModel['overlay']>;
};

/**
 * Loads candidates that differ in ranks above 0 alone, with their LoRA factors as graph inputs, so
 * that two of them run the same code in the same memory but for the factors.
 *
 * Each has a copy of its factors, also a genome that is there twice: the memory of a batch is that
 * of one candidate's session, plus the super-adapter and the factors in single precision.
 * @throws BAD_REQUEST for no genomes, merged ones, or two that differ in `shapeOf`, naming both;
 *   what openDecoder throws
 */
export async function openSharedDecoder(
  runtime: Runtime,
  model: SharedModel,
  genomes: readonly Genome[],
  options: DecoderOptions,
): Promise<SharedDecoder> {
  const first = checkShapes(genomes);
  const resolved = resolveCandidate({ ...model, genome: first });
  for (const genome of genomes) resolveCandidate({ ...model, genome });
  refuseMasked(resolved);
  const { shape } = resolved;
  const { positions } = options;
  checkPositions(shape, positions);
  const factors = await loadAdapterFactors(model.overlay.file, shape);
  const feeds = copyFeeds(
    genomes.map((genome) => factors.feeds(genome)),
    resolved.loraScale,
  );
  const session = await runtime.createSession(
    buildInferenceGraph({
      ...resolved,
      lora: 'timedInputs',
      head: 'logits',
      cachePositions: positions,
    }),
    sessionOptions(model.folder, resolved, options),
  );
  let current = 0;
  const decoder = createDecoder(session, resolved, positions, () => feeds[current] ?? {});
  return {
    positions,
    vocab: decoder.vocab,
    get length() {
      return decoder.length;
    },
    prefill: decoder.prefill,
    step: decoder.step,
    reset: decoder.reset,
    setLength: decoder.setLength,
    close: decoder.close,
    size: genomes.length,
    get current() {
      return current;
    },
    use(index) {
      if (feeds[index] === undefined)
        throw new CodedError(
          'BAD_REQUEST',
          `candidate ${index} asked for, 0 to ${genomes.length - 1} are loaded`,
        );
      current = index;
    },
  };
}

function checkShapes(genomes: readonly Genome[]): Genome {
  const [first] = genomes;
  if (first === undefined) throw new CodedError('BAD_REQUEST', '0 candidates to load, at least 1 is needed');
  for (const genome of genomes) {
    if (genome.form === 'merged')
      throw new CodedError(
        'BAD_REQUEST',
        `candidate ${encodeGenome(genome)} is merged, wanted unmerged: a merged one has no factors to share a session by`,
      );
    if (shapeOf(genome) !== shapeOf(first))
      throw new CodedError(
        'BAD_REQUEST',
        `candidates of one session have the shapes ${shapeOf(first)} and ${shapeOf(genome)}, wanted one shape`,
      );
  }
  return first;
}

/** Floats of a cache line, and of a page. */
const LINE = 16;
const PAGE = 1024;

/**
 * Feeds as `timedInputs` wants them, in memory of their own, all of it one block: each candidate
 * starts on a page of it and each factor on a cache line, so that none is faster for lying better.
 * @param all factors of each candidate, `layers.i.m.A|B` f32 [rank, columns]; those of rank 0 are
 *   left out
 */
function copyFeeds(
  all: readonly Readonly<Record<string, Tensor>>[],
  loraScale: number,
): Record<string, Tensor>[] {
  let end = 0;
  const places = all.map((factors) => {
    end = roundUp(end, PAGE);
    const own = Object.entries(factors).filter(([, { dims }]) => dims[0] !== 0);
    return own.map(([name, factor]) => {
      const start = roundUp(end, LINE);
      end = start + factor.data.length;
      return { name, factor, start };
    });
  });
  const block = new Float32Array(end);
  return places.map((own) =>
    Object.fromEntries(
      own.map(({ name, factor, start }) => {
        const memory = block.subarray(start, start + factor.data.length);
        return [name, name.endsWith('.A') ? transpose(factor, memory) : scale(factor, memory, loraScale)];
      }),
    ),
  );
}

const roundUp = (count: number, step: number): number => Math.ceil(count / step) * step;

/** [rows, columns] → [columns, rows], into `memory`. */
function transpose({ dims, data }: Tensor, memory: Float32Array): Tensor {
  const [rows = 0, columns = 0] = dims;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      memory[column * rows + row] = data[row * columns + column] as number;
  return floatTensor([columns, rows], memory);
}

function scale({ dims, data }: Tensor, memory: Float32Array, by: number): Tensor {
  for (let i = 0; i < memory.length; i++) memory[i] = (data[i] as number) * by;
  return floatTensor(dims, memory);
}
