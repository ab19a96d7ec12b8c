import { type CandidateModel, type ResolvedCandidate, resolveCandidate } from '@fleetlora/shared/engine';
import { buildInferenceGraph, type ModuleName } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { int32Tensor, int64Tensor, type Tensor } from '@fleetlora/shared/runtime';

export interface LogitsRun {
  readonly resolved: ResolvedCandidate;
  readonly folder: string;
  readonly ids: ArrayLike<number>;
  /** LoRA factors as graph inputs, with the modules that have them. */
  readonly inputs?: {
    readonly modules: readonly ModuleName[];
    readonly feeds: Readonly<Record<string, Tensor>>;
  };
}

/** Logits [ids.length · vocab] of every position, by the graph without a cache. */
export async function runLogits({ resolved, folder, ids, inputs }: LogitsRun): Promise<Float32Array> {
  const graph = buildInferenceGraph({
    ...resolved,
    head: 'logits',
    cachePositions: 0,
    loraModules: inputs?.modules,
  });
  const session = await createNodeRuntime().createSession(graph, { weightFolder: folder, threads: 1 });
  try {
    const length = ids.length;
    const results = await session.run(
      {
        ids: int64Tensor([1, length], Array.from(ids)),
        rows: int64Tensor(
          [length],
          Array.from(ids, (_, position) => position),
        ),
        last: int32Tensor([1], [length - 1]),
        total: int32Tensor([1], [length]),
        ...inputs?.feeds,
      },
      ['logits'],
    );
    return results.logits?.data as Float32Array;
  } finally {
    await session.release();
  }
}

/** `runLogits` of a model as a device opens it. */
export function modelLogits(model: CandidateModel, ids: ArrayLike<number>): Promise<Float32Array> {
  return runLogits({ resolved: resolveCandidate(model), folder: model.folder, ids });
}

/** Largest absolute difference; NaN when the lengths differ or a value is not a number. */
export function largestDifference(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (found.length !== wanted.length) return Number.NaN;
  let largest = 0;
  for (let i = 0; i < found.length; i++) {
    const difference = Math.abs((found[i] as number) - (wanted[i] as number));
    if (Number.isNaN(difference)) return Number.NaN;
    largest = Math.max(largest, difference);
  }
  return largest;
}
