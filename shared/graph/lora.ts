import type { LayerGenome, ModuleGroup } from '../space/genome.js';
import { bindBlock, type GraphWeights } from './graph-weights.js';
import { cutShape } from './layer-cut.js';
import { type ModelShape, type ModuleName, moduleDims } from './model-shape.js';
import type { Dim, GraphBuilder } from './onnx-writer.js';

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

/** Names of a module's LoRA factors: A [rank, in], for `timedInputs` [in, rank]; B [rank, out]. */
export interface LoraFactors {
  readonly a: string;
  readonly b: string;
}

/**
 * Where a graph finds its LoRA factors.
 * `none`: there are none, or they are merged into the weights.
 * `constants`: external constants at the genome's ranks.
 * `inputs`: graph inputs of dynamic rank, so one session serves every rank, 0 too.
 * `timedInputs`: inputs of a session that compares the times of candidates of one `shapeOf`. What is
 * timed must cost what it costs as constants. So factors of rank 0 are left out, and the others have
 * the one layout that ONNX Runtime multiplies a single token by without packing it first, which for
 * constants it does once: A transposed, and B with the scale already in it. As `inputs` a rank
 * takes about three times as long.
 * @source MlasSgemmOperation in ONNX Runtime's sgemm.cpp: M = 1, no transposition, alpha = 1
 */
export type LoraSource = 'none' | 'constants' | 'inputs' | 'timedInputs';

export function loraName(layer: number, module: ModuleName, factor: 'A' | 'B'): string {
  return `layers.${layer}.${module}.${factor}`;
}

/**
 * LoRA factors of one module, or null when it has none.
 * Slices are prefixes: A keeps its first `rank` rows, B its first `rank` rows (it is stored
 * transposed); at FFN width w gate/up keep the first w columns of B, down the first w of A; with
 * fewer heads q, k and v keep the first columns of B, o those of A.
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
  const [inDim, outDim] = moduleDims(cutShape(shape, genome), module);
  const a = loraName(layer, module, 'A');
  const b = loraName(layer, module, 'B');
  /** A rank known only at run time. */
  const someRank = `rank.${layer}.${groupOf[module]}`;
  const input = (name: string, dims: Dim[]): string => builder.input(name, 'float32', dims);
  if (source === 'inputs') return { a: input(a, [someRank, inDim]), b: input(b, [someRank, outDim]) };
  const rank = genome.ranks[groupOf[module]];
  if (rank === 0 || !weights.overlay?.file.tensors.has(a)) return null;
  if (source === 'timedInputs') return { a: input(a, [inDim, someRank]), b: input(b, [someRank, outDim]) };
  return { a: bindBlock(builder, weights, a, rank, inDim), b: bindBlock(builder, weights, b, rank, outDim) };
}
