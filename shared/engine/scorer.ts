import { readBaseLayout } from '../graph/base-layout.js';
import type { WeightFile } from '../graph/graph-weights.js';
import { buildInferenceGraph } from '../graph/inference-graph.js';
import { checkFit } from '../graph/layer-cut.js';
import { int32Tensor, int64Tensor, type Runtime, type RuntimeSession, type Tensor } from '../runtime.js';
import { encodeGenome, type Genome } from '../space/genome.js';
import type { TokenRow } from '../text/encode-row.js';
import { padRows, targetCount } from '../text/pad-rows.js';
import { loadAdapterFactors } from './adapter-slices.js';
import {
  type CandidateModel,
  checkSource,
  requireSessionMask,
  resolveCandidate,
  weightsOption,
} from './candidate-model.js';

/** Tokens of one graph run: large enough for full matrix speed, small enough for little memory. */
const BATCH_TOKENS = 4096;
/** Sessions kept, one for candidates that differ in nothing but ranks. */
const KEPT_SESSIONS = 4;

export interface RowScore {
  /** Every target token, the stop token included, is the most likely one; or a scorer called the answer right. */
  readonly correct: boolean;
  /** Negative log-likelihood of the targets, summed, nats. */
  readonly nll: number;
  readonly targets: number;
  /** Of an answer that was generated: it had all tokens it may have and might have gone on. */
  readonly cut?: boolean;
}

/** Scores candidates on rows under teacher forcing. One call at a time. */
export interface Scorer {
  /**
   * Scores a candidate of the super-adapter; its form does not matter, since merged equals
   * unmerged up to rounding. One session serves all ranks.
   * @throws as checkFit
   */
  score(genome: Genome, rows: readonly TokenRow[], onProgress?: (done: number) => void): Promise<RowScore[]>;
  /** Scores exactly what a device would run: for a merged or packaged model. */
  scoreModel(
    model: CandidateModel,
    rows: readonly TokenRow[],
    onProgress?: (done: number) => void,
  ): Promise<RowScore[]>;
  close(): Promise<void>;
}

export interface ScorerOptions {
  readonly folder: string;
  readonly base: WeightFile;
  /** null: only plain bases and packages are scored. */
  readonly adapter: WeightFile | null;
  readonly threads: number;
}

export async function openScorer(runtime: Runtime, options: ScorerOptions): Promise<Scorer> {
  const { folder, base, threads } = options;
  const layout = readBaseLayout(base.file);
  checkSource(layout, options.adapter);
  const factors = options.adapter ? await loadAdapterFactors(options.adapter.file, layout.shape) : null;
  if (factors) requireSessionMask(factors.facts, layout.precision);
  const sessions = new Map<string, RuntimeSession>();

  const sessionFor = async (genome: Genome): Promise<RuntimeSession> => {
    const key = keyOf(genome);
    const kept = sessions.get(key);
    if (kept) {
      sessions.delete(key);
      sessions.set(key, kept);
      return kept;
    }
    checkFit(genome, layout, factors?.facts.rankMax ?? null);
    const graph = buildInferenceGraph({
      layout,
      weights: { base, overlay: options.adapter },
      genome,
      lora: factors ? 'inputs' : 'none',
      loraModules: factors?.facts.modules ?? [],
      loraScale: factors ? factors.facts.alpha / factors.facts.rankMax : 1,
      masked: factors?.facts.masked !== undefined,
      head: 'scores',
      cachePositions: 0,
    });
    const session = await runtime.createSession(graph, {
      weightFolder: folder,
      threads,
      ...weightsOption(layout, 'mapped'),
    });
    sessions.set(key, session);
    const [oldest] = sessions.keys();
    if (sessions.size > KEPT_SESSIONS && oldest !== undefined) {
      await sessions.get(oldest)?.release();
      sessions.delete(oldest);
    }
    return session;
  };

  return {
    score: async (genome, rows, onProgress) =>
      scoreRows(await sessionFor(genome), rows, factors?.feeds(genome) ?? {}, onProgress),
    async scoreModel(model, rows, onProgress) {
      const resolved = resolveCandidate(model);
      const graph = buildInferenceGraph({ ...resolved, head: 'scores', cachePositions: 0 });
      const session = await runtime.createSession(graph, {
        weightFolder: model.folder,
        threads,
        ...weightsOption(resolved.layout, 'mapped'),
      });
      try {
        return await scoreRows(session, rows, {}, onProgress);
      } finally {
        await session.release();
      }
    },
    async close() {
      for (const session of sessions.values()) await session.release();
      sessions.clear();
    },
  };
}

/** The text of a genome with every rank 1. */
function keyOf(genome: Genome): string {
  const ranks = { qkv: 1, o: 1, gateUp: 1, down: 1 };
  return encodeGenome({
    ...genome,
    form: 'unmerged',
    layers: genome.layers.map((layer) => (layer.skipped ? layer : { ...layer, ranks })),
  });
}

/** Runs rows in batches of similar length and puts the scores back into the rows' order. */
async function scoreRows(
  session: RuntimeSession,
  rows: readonly TokenRow[],
  constantFeeds: Readonly<Record<string, Tensor>>,
  onProgress?: (done: number) => void,
): Promise<RowScore[]> {
  const order = rows.map((_, index) => index).sort((a, b) => lengthOf(rows[b]) - lengthOf(rows[a]));
  const scores: RowScore[] = new Array(rows.length);
  for (let from = 0; from < order.length; ) {
    const length = lengthOf(rows[order[from] as number]);
    const batch = order.slice(from, from + Math.max(1, Math.floor(BATCH_TOKENS / length)));
    const part = await scoreBatch(
      session,
      batch.map((index) => rows[index] as TokenRow),
      length,
      constantFeeds,
    );
    batch.forEach((index, i) => {
      scores[index] = part[i] as RowScore;
    });
    from += batch.length;
    onProgress?.(from);
  }
  return scores;
}

const lengthOf = (row: TokenRow | undefined): number => row?.ids.length ?? 1;

async function scoreBatch(
  session: RuntimeSession,
  rows: readonly TokenRow[],
  length: number,
  constantFeeds: Readonly<Record<string, Tensor>>,
): Promise<RowScore[]> {
  const { ids, positions, targets } = padRows(rows, length);
  const results = await session.run(
    {
      ids: { type: 'int64', dims: [rows.length, length], data: ids },
      rows: int64Tensor([positions.length], positions),
      targets: int64Tensor([targets.length], targets),
      // Right padding comes after everything a causal model looks at, so every row may claim full length.
      last: int32Tensor(
        [rows.length],
        rows.map(() => length - 1),
      ),
      total: int32Tensor([1], [length]),
    },
    ['nll', 'best'],
    [constantFeeds],
  );
  const nll = results.nll?.data as Float32Array;
  const best = results.best?.data as BigInt64Array;
  let at = 0;
  return rows.map((row) => {
    const count = targetCount(row);
    let sum = 0;
    let correct = true;
    for (const end = at + count; at < end; at++) {
      sum += nll[at] as number;
      if (Number(best[at]) !== targets[at]) correct = false;
    }
    return { correct, nll: sum, targets: count };
  });
}
