import type { LayerGenome, ModuleGroup } from '../space/genome.js';
import { bindBlock, type GraphWeights } from './graph-weights.js';
import { type ModelShape, type ModuleName, moduleDims } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';

/** Which rank choice a linear module obeys. */
export const groupOf: Readonly<Record<ModuleName, ModuleGroup>> = {
  q: 'qkv',
  k: 'qkv',
  v: 'qkv',
  o: 'o',
  gate: 'gateUp',
  up: 'gateUp',
  down: 'down',
};

/** Names of a module's LoRA factors: A [rank, in], B [rank, out]. */
export interface LoraFactors {
  readonly a: string;
  readonly b: string;
}

/**
 * Where a graph finds its LoRA factors.
 * `none`: there are none, or they are merged into the weights.
 * `constants`: external constants at the genome's ranks.
 * `inputs`: graph inputs of dynamic rank, so one session serves every rank.
 */
export type LoraSource = 'none' | 'constants' | 'inputs';

export function loraName(layer: number, module: ModuleName, factor: 'A' | 'B'): string {
  return `layers.${layer}.${module}.${factor}`;
}

/**
 * LoRA factors of one module, or null when it has none.
 * Slices are prefixes: A keeps its first `rank` rows, B its first `rank` rows (it is stored
 * transposed); at FFN width w gate/up keep the first w columns of B, down the first w of A.
 * @source LoNAS section 3.2
 */
export function bindLora(
  builder: GraphBuilder,
  source: LoraSource,
  weights: GraphWeights,
  shape: ModelShape,
  layer: number,
  module: ModuleName,
  genome: LayerGenome,
): LoraFactors | null {
  if (source === 'none') return null;
  const [inDim, outDim] = moduleDims(shape, module, genome.width);
  const a = loraName(layer, module, 'A');
  const b = loraName(layer, module, 'B');
  if (source === 'inputs') {
    const rank = `rank.${layer}.${groupOf[module]}`;
    return { a: builder.input(a, 'float32', [rank, inDim]), b: builder.input(b, 'float32', [rank, outDim]) };
  }
  const rank = genome.ranks[groupOf[module]];
  if (rank === 0 || !weights.overlay?.file.tensors.has(a)) return null;
  return { a: bindBlock(builder, weights, a, rank, inDim), b: bindBlock(builder, weights, b, rank, outDim) };
}
