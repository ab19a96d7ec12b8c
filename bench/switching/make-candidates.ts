import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelShape } from '@fleetlora/shared/graph';
import { createRandom } from '@fleetlora/shared/random';
import { type Genome, type LayerGenome, skippedLayer } from '@fleetlora/shared/space';
import { openExport, planExport, type TensorFile } from '@fleetlora/shared/weights';
import { writeExport } from '../lib/write-export.js';
import type { ExportedModel } from './switch-spec.js';

/** Shares of the FFN that a candidate may keep. */
const widths = [1, 0.75, 0.5] as const;

/** Candidates of full width and depth with other ranks in every layer, 0 among them. */
export function rankCandidates(shape: ModelShape, rankMax: number, count: number, seed: number): Genome[] {
  const random = createRandom(seed);
  const layer = (): LayerGenome => {
    const rank = (): number => random.below(rankMax + 1);
    return { ranks: { qkv: rank(), o: rank(), gateUp: rank(), down: rank() }, width: shape.ffnWidth };
  };
  return Array.from({ length: count }, () => ({
    form: 'unmerged',
    layers: Array.from({ length: shape.layers }, layer),
  }));
}

/** Candidates that also differ in the width of every layer and in which layers they leave out. */
export function shapeCandidates(shape: ModelShape, rankMax: number, count: number, seed: number): Genome[] {
  const random = createRandom(seed);
  return rankCandidates(shape, rankMax, count, seed).map((genome) => ({
    ...genome,
    layers: genome.layers.map((layer, index) =>
      index > 0 && random.below(4) === 0
        ? skippedLayer
        : { ...layer, width: Math.round(shape.ffnWidth * random.pick(widths)) },
    ),
  }));
}

/** No program that only runs the graph reads any of it. */
const noTokenizer = { bytes: new Uint8Array(0), json: {}, chat: null, stopIds: [] };

/** The candidate as a merged ONNX model of its own, below `folder`. */
export async function exportModel(
  folder: string,
  weights: { readonly base: TensorFile; readonly adapter: TensorFile },
  genome: Genome,
): Promise<ExportedModel> {
  const source = await openExport({ ...weights, genome: { ...genome, form: 'merged' } });
  const files = await planExport(source, {
    kind: 'onnx',
    dtype: 'f32',
    name: 'candidate',
    tokenizer: noTokenizer,
  });
  await writeExport(
    files.filter(({ path }) => path.startsWith('onnx/')),
    folder,
  );
  const onnx = join(folder, 'onnx');
  let bytes = 0;
  for (const name of await readdir(onnx)) bytes += (await stat(join(onnx, name))).size;
  const { layers, kvHeads, headDim, vocab } = source.cut.shape;
  return { folder: onnx, layers, kvHeads, headDim, vocab, bytes };
}
