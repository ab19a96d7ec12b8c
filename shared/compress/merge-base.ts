import { type AdapterFactorsInMemory, loadAdapterFactors } from '../engine/adapter-slices.js';
import { openMerger, storedDims } from '../engine/merge-adapter.js';
import { CodedError } from '../errors.js';
import { type BaseLayout, readBaseLayout } from '../graph/base-layout.js';
import { checkFit } from '../graph/layer-cut.js';
import { type ModelShape, type ModuleName, moduleDims } from '../graph/model-shape.js';
import type { ByteSink, Runtime } from '../runtime.js';
import { encodeGenome, type Genome, type LayerGenome, skippedLayer } from '../space/genome.js';
import { requireMask } from '../weights/adapter-facts.js';
import { takeBlock } from '../weights/permute.js';
import type { TensorFile } from '../weights/tensor-file.js';
import type { MergeRecord } from './compression-record.js';
import { rewriteBase } from './rewrite-base.js';

/** A candidate to be merged, and the files that it is cut from. */
export interface MergeSource {
  readonly base: TensorFile;
  readonly baseDigest: string;
  readonly adapter: TensorFile;
  readonly adapterDigest: string;
  /** In the precision of the base file; its form says nothing here. */
  readonly genome: Genome;
}

/** What a merge needs to know once the files have been found to belong together. */
export interface CheckedMerge {
  readonly layout: BaseLayout;
  readonly factors: AdapterFactorsInMemory;
  readonly record: MergeRecord;
}

/**
 * @throws ADAPTER_OTHER_BASE when the adapter is of another base, or masked by the base in another
 *   precision; GENOME_OUTSIDE_SPACE as checkFit
 */
export async function checkMerge(source: MergeSource): Promise<CheckedMerge> {
  const { base, adapter, genome, baseDigest, adapterDigest } = source;
  const layout = readBaseLayout(base);
  const wanted = layout.sourceBaseDigest ?? baseDigest;
  if (adapter.metadata.baseDigest !== wanted)
    throw new CodedError(
      'ADAPTER_OTHER_BASE',
      `adapter file is for base ${adapter.metadata.baseDigest ?? 'unknown'}, the base to merge into is ${wanted}`,
    );
  const factors = await loadAdapterFactors(adapter, layout.shape);
  checkFit({ ...genome, form: 'unmerged' }, layout, factors.facts.rankMax);
  requireMask(factors.facts, layout.precision);
  const record = { baseDigest, adapterDigest, genome: encodeGenome(genome) };
  return { layout, factors, record };
}

/**
 * Writes an fp32 base file into which a candidate is merged: alone, it computes what the candidate does.
 * What the candidate leaves out (channels, heads, layers) becomes zeros, which add nothing. A masked
 * adapter leaves every zero of the base a zero; any other makes a sparse base dense, and the record of its
 * pruning is left out.
 * @throws as checkMerge and rewriteBase
 * @source SQFT section 3.2, SparsePEFT
 */
export async function mergeBase(runtime: Runtime, source: MergeSource, sink: ByteSink): Promise<void> {
  const { layout, factors, record } = await checkMerge(source);
  const merger = await openMerger(runtime, layout.shape, factors);
  const isSparse = factors.facts.masked !== undefined;
  try {
    await rewriteBase(
      source.base,
      { merged: JSON.stringify(record), ...(!isSparse && { pruning: undefined }) },
      ({ layer, module }, matrix, shape) =>
        mergeCut(shape, source.genome, layer, module, matrix, (weight) =>
          merger.merge(source.genome, layer, module, weight),
        ),
      sink,
    );
  } finally {
    await merger.close();
  }
}

/**
 * A whole matrix, as the base stores it, with what `merge` makes of the part that a candidate uses, and
 * zeros elsewhere. Of a layer that is left out o and down are zeros, so that it adds nothing.
 */
export async function mergeCut(
  shape: ModelShape,
  genome: Genome,
  layer: number,
  module: ModuleName,
  matrix: Float32Array,
  merge: (weight: Float32Array) => Promise<Float32Array>,
): Promise<Float32Array> {
  const genes: LayerGenome = genome.layers[layer] ?? skippedLayer;
  if (genes.skipped) return module === 'o' || module === 'down' ? new Float32Array(matrix.length) : matrix;
  const [input, output] = moduleDims(shape, module);
  const columns = module === 'down' ? output : input;
  const [keptRows, keptColumns] = storedDims(shape, module, genes);
  const merged = await merge(takeBlock(matrix, columns, [keptRows, keptColumns]));
  if (merged.length === matrix.length) return merged;
  const whole = new Float32Array(matrix.length);
  for (let row = 0; row < keptRows; row++)
    whole.set(merged.subarray(row * keptColumns, (row + 1) * keptColumns), row * columns);
  return whole;
}
