import { activeLayers, cutShape } from '../graph/layer-cut.js';
import type { ModelShape } from '../graph/model-shape.js';
import type { Genome } from '../space/genome.js';

/** One tensor of a KV cache, [rows, kvHeads, positions, headDim]. */
export interface CacheSlot {
  /** `past.` and `present.` before it name the graph's input and output. */
  readonly name: string;
  readonly kvHeads: number;
}

/** The caches of a candidate: keys and values of every layer that is not left out, of its heads. */
export function cacheSlots(genome: Genome, shape: ModelShape): CacheSlot[] {
  return activeLayers(genome).flatMap(({ layer, genes }) => {
    const { kvHeads } = cutShape(shape, genes);
    return ['key', 'value'].map((kind) => ({ name: `${layer}.${kind}`, kvHeads }));
  });
}
