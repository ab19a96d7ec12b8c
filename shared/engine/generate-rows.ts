import { CodedError } from '../errors.js';
import { buildInferenceGraph } from '../graph/inference-graph.js';
import type { ModelShape } from '../graph/model-shape.js';
import {
  floatTensor,
  int32Tensor,
  int64Tensor,
  type Runtime,
  type RuntimeSession,
  type Tensor,
} from '../runtime.js';
import { MiB } from '../units.js';
import { type CacheSlot, cacheSlots } from './cache-slots.js';
import { type CandidateModel, resolveCandidate, weightsOption } from './candidate-model.js';
import { argmax } from './generate.js';

/** Tokens of one run over prompts: as for scoring, matrices at full speed in little memory. */
const PREFILL_TOKENS = 4096;
/** More rows make a step hardly cheaper a row, and most of them wait for the longest answer. */
const MAX_ROWS = 32;
/** What the caches of all rows of a batch may take. */
const CACHE_BYTES = 256 * MiB;

/** What a model wrote after a prompt. */
export interface GeneratedRow {
  /** Token ids without the one that ended it. */
  readonly ids: readonly number[];
  /** `length`: it had as many tokens as were allowed, and might have gone on. */
  readonly end: 'stop' | 'length';
}

export interface GenerationLimits {
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  readonly stopIds: readonly number[];
}

/**
 * Greedy answers to many prompts, in their order. Prompts of similar length share a batch with one
 * KV cache each; rows that have ended leave it, so the last ones do not pay for the rest.
 * @throws BAD_REQUEST when a prompt is empty, or does not leave `maxTokens` of the model's positions
 */
export async function generateRows(
  runtime: Runtime,
  model: CandidateModel,
  prompts: readonly (readonly number[])[],
  options: GenerationLimits & { readonly threads: number },
): Promise<GeneratedRow[]> {
  const resolved = resolveCandidate(model);
  const { shape } = resolved;
  const { maxTokens } = options;
  for (const { length } of prompts)
    if (length === 0 || length + maxTokens > shape.positions)
      throw new CodedError(
        'BAD_REQUEST',
        `a prompt of ${length} tokens and ${maxTokens} more wanted, the model has ${shape.positions} positions`,
      );
  if (prompts.length === 0) return [];
  const positions = maxTokens + Math.max(...prompts.map(({ length }) => length));
  const session = await runtime.createSession(
    buildInferenceGraph({ ...resolved, head: 'logits', cachePositions: positions }),
    // Hundreds of steps pay for copying the weights into the kernels' layout once.
    {
      weightFolder: model.folder,
      threads: options.threads,
      ...weightsOption(resolved.layout, 'prepacked'),
    },
  );
  try {
    const answers: GeneratedRow[] = new Array(prompts.length);
    const order = prompts.map((_, index) => index);
    const lengthOf = (index: number | undefined): number => prompts[index ?? 0]?.length ?? 1;
    order.sort((a, b) => lengthOf(b) - lengthOf(a));
    const slots = cacheSlots(resolved.genome, shape);
    const open = { session, shape, slots, positions };
    for (let from = 0; from < order.length; ) {
      const batch = order.slice(from, from + rowsOfBatch(open, lengthOf(order[from])));
      const rows = batch.map((index) => prompts[index] as readonly number[]);
      const part = await generateBatch(open, rows, options);
      batch.forEach((index, row) => {
        answers[index] = part[row] as GeneratedRow;
      });
      from += batch.length;
    }
    return answers;
  } finally {
    await session.release();
  }
}

/** How many prompts of at most this length make one batch. */
function rowsOfBatch({ shape, slots, positions }: OpenSession, longest: number): number {
  const cacheHeads = slots.reduce((sum, { kvHeads }) => sum + kvHeads, 0);
  const cacheBytes = cacheHeads * shape.headDim * positions * 4;
  return Math.max(
    1,
    Math.min(MAX_ROWS, Math.floor(PREFILL_TOKENS / longest), Math.floor(CACHE_BYTES / cacheBytes)),
  );
}

interface OpenSession {
  readonly session: RuntimeSession;
  readonly shape: ModelShape;
  readonly slots: readonly CacheSlot[];
  readonly positions: number;
}

/** A row at work: `length` tokens of it are in the cache. */
interface LiveRow {
  readonly index: number;
  length: number;
  readonly ids: number[];
}

/**
 * Runs one batch to its end.
 *
 * Rows have unequal lengths: each attends to its own tokens alone (`last`). The padding after a
 * short prompt is written into its cache too, but a later token overwrites it before anything
 * looks there.
 */
async function generateBatch(
  { session, shape, slots, positions }: OpenSession,
  prompts: readonly (readonly number[])[],
  { maxTokens, stopIds }: GenerationLimits,
): Promise<GeneratedRow[]> {
  const rowFloats = slots.map(({ kvHeads }) => kvHeads * positions * shape.headDim);
  let caches: Float32Array[] = rowFloats.map((floats) => new Float32Array(prompts.length * floats));
  let live: LiveRow[] = prompts.map(({ length }, index) => ({ index, length, ids: [] }));
  const answers: GeneratedRow[] = new Array(prompts.length);

  /** @returns logits [live rows, vocab] of the token after each row's last */
  const run = async (ids: readonly number[], wanted: readonly number[]): Promise<Float32Array> => {
    const past: Record<string, Tensor> = {};
    const present: Record<string, Tensor | null> = { logits: null };
    slots.forEach(({ name, kvHeads }, i) => {
      // The same memory goes in as past and comes out as present.
      const cache = floatTensor([live.length, kvHeads, positions, shape.headDim], caches[i] as Float32Array);
      past[`past.${name}`] = cache;
      present[`present.${name}`] = cache;
    });
    const lengths = live.map(({ length }) => length);
    const results = await session.run(
      {
        ids: int64Tensor([live.length, ids.length / live.length], ids),
        rows: int64Tensor([wanted.length], wanted),
        last: int32Tensor(
          [live.length],
          lengths.map((length) => length - 1),
        ),
        total: int32Tensor([1], [Math.max(...lengths)]),
        ...past,
      },
      present,
    );
    return results.logits?.data as Float32Array;
  };

  /** Takes each row's next token; rows that end go to `answers`. */
  const take = (logits: Float32Array): void => {
    const kept: number[] = [];
    live.forEach((row, place) => {
      const next = argmax(logits.subarray(place * shape.vocab, (place + 1) * shape.vocab));
      const stopped = stopIds.includes(next);
      if (!stopped) row.ids.push(next);
      if (stopped || row.ids.length === maxTokens)
        answers[row.index] = { ids: row.ids, end: stopped ? 'stop' : 'length' };
      else kept.push(place);
    });
    if (kept.length === live.length) return;
    caches = caches.map((cache, i) => pickRows(cache, kept, rowFloats[i] as number));
    live = kept.map((place) => live[place] as LiveRow);
  };

  const longest = Math.max(...prompts.map(({ length }) => length));
  const padded = prompts.flatMap((prompt) => [...prompt, ...Array(longest - prompt.length).fill(0)]);
  take(
    await run(
      padded,
      prompts.map(({ length }, row) => row * longest + length - 1),
    ),
  );
  while (live.length > 0) {
    for (const row of live) row.length++;
    const ids = live.map((row) => row.ids.at(-1) as number);
    take(
      await run(
        ids,
        live.map((_, place) => place),
      ),
    );
  }
  return answers;
}

/** The cache of these rows alone; in place, since rows only move to the front. */
function pickRows(cache: Float32Array, rows: readonly number[], rowFloats: number): Float32Array {
  rows.forEach((row, place) => {
    if (row !== place) cache.copyWithin(place * rowFloats, row * rowFloats, (row + 1) * rowFloats);
  });
  return cache.subarray(0, rows.length * rowFloats);
}
