import { openScorer } from '@fleetlora/shared/engine';
import type { WeightFile } from '@fleetlora/shared/graph';
import type { Runtime } from '@fleetlora/shared/runtime';

/** Tokens of a text whose positions `from` on are predicted, each from all before it in the window. */
export interface TokenWindow {
  readonly ids: readonly number[];
  readonly from: number;
}

/** Windows scored at once: the logits of two take 100 MB at a vocabulary of 49,152. */
const AT_ONCE = 2;

/** Negative log-likelihood of the predicted tokens of each window together, nats. */
export async function scoreWindows(
  runtime: Runtime,
  model: {
    readonly folder: string;
    readonly base: WeightFile;
    readonly windows: readonly TokenWindow[];
    readonly threads: number;
  },
): Promise<number[]> {
  const { folder, base, windows, threads } = model;
  const scorer = await openScorer(runtime, { folder, base, adapter: null, threads });
  const rows = windows.map(({ ids, from }) => ({ ids: Int32Array.from(ids), targetStart: from }));
  const nlls: number[] = [];
  for (let first = 0; first < rows.length; first += AT_ONCE) {
    const scores = await scorer.scoreModel(
      { folder, base, overlay: null, genome: null },
      rows.slice(first, first + AT_ONCE),
    );
    nlls.push(...scores.map(({ nll }) => nll));
  }
  await scorer.close();
  return nlls;
}
