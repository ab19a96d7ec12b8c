import { CodedError } from '../errors.js';
import { buildDecodeGraph } from '../graph/decode-graph.js';
import { floatTensor, int32Tensor, int64Tensor, type Runtime, type Tensor } from '../runtime.js';
import { cacheSlots } from './cache-slots.js';
import { type CandidateModel, refuseMasked, resolveCandidate } from './candidate-model.js';
import { checkPositions, type DecoderOptions, sessionOptions } from './decoder.js';

/** What to write after the tokens that are appended. */
export interface ChunkOptions {
  /** Tokens at most; 1 or more. */
  readonly count: number;
  /** Tokens that end the chunk: such a one is its last. */
  readonly stopIds: readonly number[];
  /** 0, the default: the likeliest token, the first of equals. */
  readonly temperature?: number;
  /** Numbers from [0, 1), one a token; needed at temperatures above 0. */
  readonly draws?: readonly number[];
}

/** A loaded model with one KV cache that writes several tokens a run. */
export interface LoopDecoder {
  readonly positions: number;
  readonly vocab: number;
  /** Tokens in the cache. */
  readonly length: number;
  /**
   * Appends tokens and writes further ones. All that are written but the last are appended too: the
   * next call starts with the last.
   * @throws BAD_REQUEST when there are none to append or to write, or they do not fit into the cache
   */
  write(ids: readonly number[], options: ChunkOptions): Promise<number[]>;
  /** Forgets everything. */
  reset(): void;
  /** Keeps the first `length` tokens. @throws BAD_REQUEST when there are not as many */
  setLength(length: number): void;
  close(): Promise<void>;
}

/** Below this the likeliest token has the whole share, and logits divided by it may be no number. */
const COLDEST = 1e-6;

/**
 * Loads a candidate for generation by chunks. Its tokens are those that a `Decoder` gives, up to the
 * rounding of fused products.
 * @throws BAD_REQUEST when the model has not as many positions; ADAPTER_CONFIG for a masked adapter that is
 *   not merged
 */
export async function openLoopDecoder(
  runtime: Runtime,
  model: CandidateModel,
  options: DecoderOptions,
): Promise<LoopDecoder> {
  const resolved = resolveCandidate(model);
  refuseMasked(resolved);
  const { shape, genome, lora } = resolved;
  const { positions } = options;
  checkPositions(shape, positions);
  if (lora !== 'none' && lora !== 'constants')
    throw new CodedError('BUG', `a candidate's factors are ${lora}, wanted none or constants`);
  const session = await runtime.createSession(
    buildDecodeGraph({ ...resolved, lora }),
    sessionOptions(model.folder, resolved, options),
  );
  const slots = cacheSlots(genome, shape);
  const names = ['written', ...slots.map(({ name }) => `present.${name}`)];
  const { headDim } = shape;
  let length = 0;
  /** Tokens that each cache has a row for: a run clears and copies all of them for every token. */
  let rows = 0;
  let caches = slots.map(({ kvHeads }) => floatTensor([1, kvHeads, 0, headDim], new Float32Array(0)));
  const cutRows = (): void => {
    if (rows === length) return;
    caches = caches.map(({ data }, slot) => {
      const kvHeads = slots[slot]?.kvHeads ?? 0;
      const kept = new Float32Array(kvHeads * length * headDim);
      for (let head = 0; head < kvHeads; head++) {
        const from = head * rows * headDim;
        const own = (data as Float32Array).subarray(from, from + length * headDim);
        kept.set(own, head * length * headDim);
      }
      return floatTensor([1, kvHeads, length, headDim], kept);
    });
    rows = length;
  };
  return {
    positions,
    vocab: shape.vocab,
    get length() {
      return length;
    },
    async write(ids, { count, stopIds, temperature = 0, draws = [] }) {
      const total = length + ids.length;
      const end = total + count - 1;
      if (ids.length === 0 || count < 1 || end > positions)
        throw new CodedError(
          'BAD_REQUEST',
          `${ids.length} tokens and ${count} more after ${length} asked for, the cache holds 1 to ${positions}`,
        );
      if (temperature > 0 && draws.length !== count)
        throw new CodedError('BAD_REQUEST', `${draws.length} draws for ${count} tokens, wanted ${count}`);
      cutRows();
      const feeds: Record<string, Tensor> = {
        count: int64Tensor([], [count]),
        ids: int64Tensor([1, ids.length], ids),
        total: int32Tensor([1], [total]),
        // No token has this number; an empty list would leave nothing to compare with.
        stops: int64Tensor([stopIds.length + 1], [...stopIds, -1]),
        temperature: floatTensor([], Float32Array.of(temperature < COLDEST ? 0 : temperature)),
        draws: floatTensor(
          [count],
          Float32Array.from({ length: count }, (_, i) => draws[i] ?? 0),
        ),
      };
      slots.forEach(({ name }, slot) => {
        feeds[`past.${name}`] = caches[slot] as Tensor;
      });
      const results = await session.run(feeds, names);
      caches = slots.map(({ name }) => results[`present.${name}`] as Tensor);
      const written = Array.from(results.written?.data as BigInt64Array, Number);
      length = total + written.length - 1;
      rows = length;
      return written;
    },
    reset() {
      length = 0;
    },
    setLength(next) {
      if (!Number.isInteger(next) || next < 0 || next > length)
        throw new CodedError('BAD_REQUEST', `cache length ${next} asked for, 0 to ${length} are possible`);
      length = next;
    },
    close: () => session.release(),
  };
}

/**
 * Greedy continuation of a prompt, from an empty cache, in one run. Ends before a stop token, after
 * `maxTokens`, or when the cache is full.
 */
export async function continueGreedily(
  decoder: LoopDecoder,
  ids: readonly number[],
  { maxTokens, stopIds }: { readonly maxTokens: number; readonly stopIds: readonly number[] },
): Promise<number[]> {
  decoder.reset();
  if (maxTokens === 0) return [];
  // A cache that the prompt alone fills still leaves one token to be chosen.
  const count = Math.max(1, Math.min(maxTokens, decoder.positions - ids.length + 1));
  const written = await decoder.write(ids, { count, stopIds });
  return stopIds.includes(written.at(-1) ?? -1) ? written.slice(0, -1) : written;
}
