import { CodedError } from '../errors.js';
import { buildInferenceGraph } from '../graph/inference-graph.js';
import type { ModelShape } from '../graph/model-shape.js';
import {
  floatTensor,
  int32Tensor,
  int64Tensor,
  type Runtime,
  type RuntimeSession,
  type SessionOptions,
  type Tensor,
} from '../runtime.js';
import { cacheSlots } from './cache-slots.js';
import {
  type CandidateModel,
  type ResolvedCandidate,
  resolveCandidate,
  weightsOption,
} from './candidate-model.js';

export interface DecoderOptions {
  readonly threads: number;
  /** Capacity of the KV cache in tokens, prompt and answer together. */
  readonly positions: number;
  /** Of an fp32 base; quantised weights are always prepacked. */
  readonly weights?: 'prepacked' | 'mapped';
  /** As SessionOptions has it. */
  readonly idle?: 'sleep' | 'spin';
}

/** A loaded model with one KV cache: one sequence at a time. */
export interface Decoder {
  readonly positions: number;
  readonly vocab: number;
  /** Tokens in the cache. */
  readonly length: number;
  /**
   * Appends tokens.
   * @returns logits [vocab] of the token after the last one; valid until the next call
   * @throws BAD_REQUEST when they do not fit into the cache, or there are none
   */
  prefill(ids: readonly number[]): Promise<Float32Array>;
  /** `prefill` of one token. */
  step(id: number): Promise<Float32Array>;
  /** Forgets everything. */
  reset(): void;
  /**
   * Keeps the first `length` tokens. A larger length than the cache holds is allowed for timing
   * alone: the cost of a step depends on the length, not on what the cache holds.
   */
  setLength(length: number): void;
  close(): Promise<void>;
}

/**
 * Loads a candidate for generation. The cache is updated in place.
 * @throws BAD_REQUEST when the model has not as many positions
 */
export async function openDecoder(
  runtime: Runtime,
  model: CandidateModel,
  options: DecoderOptions,
): Promise<Decoder> {
  const resolved = resolveCandidate(model);
  const { shape } = resolved;
  const { positions } = options;
  checkPositions(shape, positions);
  const session = await runtime.createSession(
    buildInferenceGraph({ ...resolved, head: 'logits', cachePositions: positions }),
    sessionOptions(model.folder, resolved, options),
  );
  return createDecoder(session, resolved, positions, () => nothing);
}

const nothing = {};

/** @throws BAD_REQUEST naming what the model has */
export function checkPositions(shape: ModelShape, positions: number): void {
  if (positions < 1 || positions > shape.positions)
    throw new CodedError(
      'BAD_REQUEST',
      `cache of ${positions} positions asked for, the model has 1 to ${shape.positions}`,
    );
}

export function sessionOptions(
  weightFolder: string,
  { layout }: Pick<ResolvedCandidate, 'layout'>,
  options: DecoderOptions,
): SessionOptions {
  return {
    weightFolder,
    threads: options.threads,
    ...weightsOption(layout, options.weights),
    ...(options.idle !== undefined && { idle: options.idle }),
  };
}

/**
 * A decoder over a loaded graph with a KV cache.
 * @param moreFeeds further graph inputs of the next run, beside tokens and cache: `kept` ones
 */
export function createDecoder(
  session: RuntimeSession,
  { shape, genome }: Pick<ResolvedCandidate, 'shape' | 'genome'>,
  positions: number,
  moreFeeds: () => Readonly<Record<string, Tensor>>,
): Decoder {
  const past: Record<string, Tensor> = {};
  const present: Record<string, Tensor | null> = { logits: null };
  for (const { name, kvHeads } of cacheSlots(genome, shape)) {
    // The same memory goes in as past and comes out as present.
    const tensor = floatTensor(
      [1, kvHeads, positions, shape.headDim],
      new Float32Array(kvHeads * positions * shape.headDim),
    );
    past[`past.${name}`] = tensor;
    present[`present.${name}`] = tensor;
  }
  let length = 0;
  const append = async (ids: readonly number[]): Promise<Float32Array> => {
    const total = length + ids.length;
    if (ids.length === 0 || total > positions)
      throw new CodedError(
        'BAD_REQUEST',
        `${ids.length} tokens after ${length} asked for, the cache holds 1 to ${positions}`,
      );
    const results = await session.run(
      {
        ids: int64Tensor([1, ids.length], ids),
        rows: int64Tensor([1], [ids.length - 1]),
        last: int32Tensor([1], [total - 1]),
        total: int32Tensor([1], [total]),
      },
      present,
      [past, moreFeeds()],
    );
    length = total;
    return results.logits?.data as Float32Array;
  };
  return {
    positions,
    vocab: shape.vocab,
    get length() {
      return length;
    },
    prefill: append,
    step: (id) => append([id]),
    reset() {
      length = 0;
    },
    setLength(next) {
      if (!Number.isInteger(next) || next < 0 || next > positions)
        throw new CodedError('BAD_REQUEST', `cache length ${next} asked for, 0 to ${positions} are possible`);
      length = next;
    },
    close: () => session.release(),
  };
}
