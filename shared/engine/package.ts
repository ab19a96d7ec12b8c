import { CodedError } from '../errors.js';
import { readBaseLayout } from '../graph/base-layout.js';
import { checkFit } from '../graph/layer-cut.js';
import { type ModuleName, moduleDims } from '../graph/model-shape.js';
import type { Runtime } from '../runtime.js';
import type { Genome } from '../space/genome.js';
import { requireMask } from '../weights/adapter-facts.js';
import { encodeTensorFile, type TensorToWrite } from '../weights/encode-tensor-file.js';
import { packageMetadata, packageTensors } from '../weights/package-plan.js';
import { takeBlock } from '../weights/permute.js';
import { readFloats } from '../weights/read-values.js';
import type { TensorFile } from '../weights/tensor-file.js';
import { loadAdapterFactors } from './adapter-slices.js';
import { openMerger } from './merge-adapter.js';

/** `layers.3.gate`, `layers.3.gate.A`. */
const TENSOR_NAME = /^layers\.(\d+)\.(\w+?)(?:\.([AB]))?$/;

/**
 * Cuts a candidate out of a super-adapter and packs it for shipping, in half precision: its LoRA
 * factors, or its complete matrices with the adapter added.
 * @throws as readBaseLayout and checkFit: a candidate that this base file cannot be cut to
 * @throws GENOME_OUTSIDE_SPACE for an unmerged candidate of a masked adapter, since a device would not
 *   mask it; ADAPTER_OTHER_BASE as requireMask
 */
export async function buildPackage(
  runtime: Runtime,
  source: {
    readonly base: TensorFile;
    readonly adapter: TensorFile;
    readonly genome: Genome;
    readonly baseDigest: string;
    readonly adapterDigest: string;
  },
): Promise<Uint8Array> {
  const { base, genome } = source;
  const layout = readBaseLayout(base);
  const { shape } = layout;
  const factors = await loadAdapterFactors(source.adapter, shape);
  checkFit(genome, layout, factors.facts.rankMax);
  requireMask(factors.facts, layout.precision);
  if (factors.facts.masked !== undefined && genome.form === 'unmerged')
    throw new CodedError(
      'GENOME_OUTSIDE_SPACE',
      'genome is unmerged, the adapter is masked by the zeros of its base and has merged candidates alone',
    );
  const { rankMax, alpha, modules } = factors.facts;
  const merger = await openMerger(runtime, shape, factors);

  const merged = async (
    layer: number,
    module: ModuleName,
    dims: readonly [number, number],
  ): Promise<Float32Array> => {
    const [inDim, outDim] = moduleDims(shape, module);
    const stored = await readFloats(
      base,
      `layers.${layer}.${module}`,
      module === 'down' ? [inDim, outDim] : [outDim, inDim],
    );
    return merger.merge(genome, layer, module, takeBlock(stored, module === 'down' ? outDim : inDim, dims));
  };

  try {
    const tensors: TensorToWrite[] = [];
    for (const spec of packageTensors(genome, shape, modules)) {
      const [, layer, module, factor] = TENSOR_NAME.exec(spec.name) ?? [];
      const name = module as ModuleName;
      const data =
        factor === undefined
          ? await merged(Number(layer), name, spec.shape as [number, number])
          : factors.slice(genome, Number(layer), name, factor as 'A' | 'B').data;
      tensors.push({ ...spec, data });
    }
    const metadata = packageMetadata({ ...source, shape, rankMax, alpha });
    return encodeTensorFile(tensors, metadata, { alignment: 'none' });
  } finally {
    await merger.close();
  }
}

/**
 * The same tensors widened to F32 and page-aligned: the file that sessions map.
 * @throws as readFloats, and whatever a broken package breaks
 */
export async function expandPackage(file: TensorFile): Promise<Uint8Array> {
  const tensors: TensorToWrite[] = [];
  for (const [name, entry] of file.tensors)
    tensors.push({ name, dtype: 'F32', shape: entry.shape, data: await readFloats(file, name) });
  return encodeTensorFile(tensors, { ...file.metadata, format: 'fleetlora-expanded' }, { alignment: 'page' });
}
