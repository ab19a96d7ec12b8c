import { groupOf } from '../graph/lora.js';
import { buildMergeGraph } from '../graph/merge-graph.js';
import { type ModuleName, moduleDims, readModelShape } from '../graph/model-shape.js';
import { floatTensor, type Runtime } from '../runtime.js';
import type { Genome } from '../space/genome.js';
import { encodeTensorFile, type TensorToWrite } from '../weights/encode-tensor-file.js';
import { packageMetadata, packageTensors } from '../weights/package-plan.js';
import { readFloats } from '../weights/read-values.js';
import type { TensorFile } from '../weights/tensor-file.js';
import { loadAdapterFactors } from './adapter-slices.js';

/** `layers.3.gate`, `layers.3.gate.A`. */
const TENSOR_NAME = /^layers\.(\d+)\.(\w+?)(?:\.([AB]))?$/;

/**
 * Cuts a candidate out of a super-adapter and packs it for shipping, in half precision: its LoRA
 * factors, or its complete matrices with the adapter added.
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
  const shape = readModelShape(base);
  const factors = await loadAdapterFactors(source.adapter, shape);
  const { rankMax, alpha, modules } = factors.facts;
  const merger = await runtime.createSession(buildMergeGraph(alpha / rankMax), { threads: 1 });

  const merged = async (
    layer: number,
    module: ModuleName,
    dims: readonly [number, number],
  ): Promise<Float32Array> => {
    const genes = genome.layers[layer];
    const [inDim, outDim] = moduleDims(shape, module);
    const stored = await readFloats(
      base,
      `layers.${layer}.${module}`,
      module === 'down' ? [inDim, outDim] : [outDim, inDim],
    );
    const weight = stored.subarray(0, dims[0] * dims[1]);
    if (!genes || genes.ranks[groupOf[module]] === 0 || !modules.includes(module)) return weight;
    const a = factors.slice(genome, layer, module, 'A');
    const b = factors.slice(genome, layer, module, 'B');
    const [left, right] = module === 'down' ? [a, b] : [b, a];
    const results = await merger.run(
      {
        left: floatTensor(left.dims, left.data),
        right: floatTensor(right.dims, right.data),
        weight: floatTensor(dims, weight),
      },
      ['merged'],
    );
    return results.merged?.data as Float32Array;
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
    await merger.release();
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
