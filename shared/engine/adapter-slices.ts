import { activeLayers, cutShape } from '../graph/layer-cut.js';
import { groupOf, loraName } from '../graph/lora.js';
import { type ModelShape, type ModuleName, moduleDims } from '../graph/model-shape.js';
import { floatTensor, type Tensor } from '../runtime.js';
import { type Genome, skippedLayer } from '../space/genome.js';
import { readAdapterFacts } from '../weights/adapter-facts.js';
import type { AdapterFacts } from '../weights/package-plan.js';
import { takeBlock } from '../weights/permute.js';
import { readFloats } from '../weights/read-values.js';
import type { TensorFile } from '../weights/tensor-file.js';

/** A super-adapter in memory, from which any candidate's factors are cut. */
export interface AdapterFactorsInMemory {
  readonly facts: AdapterFacts;
  /** A factor cut to a candidate: [rank, columns]. Views where rows are whole, copies where not. */
  slice(
    genome: Genome,
    layer: number,
    module: ModuleName,
    factor: 'A' | 'B',
  ): { dims: [number, number]; data: Float32Array };
  /** All factors of a candidate as graph inputs `layers.i.m.A|B`, of the layers that it has. */
  feeds(genome: Genome): Record<string, Tensor>;
}

export async function loadAdapterFactors(
  file: TensorFile,
  shape: ModelShape,
): Promise<AdapterFactorsInMemory> {
  const facts = readAdapterFacts(file);
  const stored = new Map<string, Float32Array>();
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const module of facts.modules) {
      const [inDim, outDim] = moduleDims(shape, module);
      const a = loraName(layer, module, 'A');
      const b = loraName(layer, module, 'B');
      stored.set(a, await readFloats(file, a, [facts.rankMax, inDim]));
      stored.set(b, await readFloats(file, b, [facts.rankMax, outDim]));
    }
  }
  const slice: AdapterFactorsInMemory['slice'] = (genome, layer, module, factor) => {
    const genes = genome.layers[layer] ?? skippedLayer;
    const data = stored.get(loraName(layer, module, factor)) as Float32Array;
    const side = factor === 'A' ? 0 : 1;
    const rank = genes.ranks[groupOf[module]];
    const storedColumns = moduleDims(shape, module)[side];
    const columns = moduleDims(cutShape(shape, genes), module)[side];
    const dims: [number, number] = [rank, columns];
    return { dims, data: takeBlock(data, storedColumns, dims) };
  };
  return {
    facts,
    slice,
    feeds(genome) {
      const feeds: Record<string, Tensor> = {};
      for (const { layer } of activeLayers(genome)) {
        for (const module of facts.modules) {
          for (const factor of ['A', 'B'] as const) {
            const { dims, data } = slice(genome, layer, module, factor);
            feeds[loraName(layer, module, factor)] = floatTensor(dims, data);
          }
        }
      }
      return feeds;
    },
  };
}
