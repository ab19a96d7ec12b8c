import { cutShape } from '../graph/layer-cut.js';
import { groupOf } from '../graph/lora.js';
import { buildMergeGraph } from '../graph/merge-graph.js';
import { type ModelShape, type ModuleName, moduleDims } from '../graph/model-shape.js';
import { floatTensor, type Runtime } from '../runtime.js';
import { type Genome, type LayerGenome, skippedLayer } from '../space/genome.js';
import type { AdapterFactorsInMemory } from './adapter-slices.js';

/** Adds a super-adapter's product to matrices of its base. */
export interface AdapterMerger {
  /**
   * @param weight of the module, cut to the candidate as `storedDims` says
   * @returns with the product added; `weight` itself where the candidate has no adapter
   */
  merge(genome: Genome, layer: number, module: ModuleName, weight: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Sizes of a module as a base stores it, cut to a layer's choices: [out, in], of down [in, out]. */
export function storedDims(shape: ModelShape, module: ModuleName, genes: LayerGenome): [number, number] {
  const [input, output] = moduleDims(cutShape(shape, genes), module);
  return module === 'down' ? [input, output] : [output, input];
}

/**
 * @param sum `masked`: only where the weight is not 0; `plain`: everywhere, also of a masked adapter
 */
export async function openMerger(
  runtime: Runtime,
  shape: ModelShape,
  { facts, slice }: AdapterFactorsInMemory,
  sum: 'plain' | 'masked' = facts.masked === undefined ? 'plain' : 'masked',
): Promise<AdapterMerger> {
  const session = await runtime.createSession(buildMergeGraph(facts.alpha / facts.rankMax, sum), {
    threads: 1,
  });
  return {
    async merge(genome, layer, module, weight) {
      const genes = genome.layers[layer] ?? skippedLayer;
      if (genes.ranks[groupOf[module]] === 0 || !facts.modules.includes(module)) return weight;
      const a = slice(genome, layer, module, 'A');
      const b = slice(genome, layer, module, 'B');
      const [left, right] = module === 'down' ? [a, b] : [b, a];
      const results = await session.run(
        {
          left: floatTensor(left.dims, left.data),
          right: floatTensor(right.dims, right.data),
          weight: floatTensor(storedDims(shape, module, genes), weight),
        },
        ['merged'],
      );
      return results.merged?.data as Float32Array;
    },
    close: () => session.release(),
  };
}
