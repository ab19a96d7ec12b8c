import { openMerger } from '../engine/merge-adapter.js';
import { CodedError } from '../errors.js';
import { type BaseLayout, quantBlock } from '../graph/base-layout.js';
import { type ModuleName, moduleDims, moduleNames } from '../graph/model-shape.js';
import type { ByteSink, Runtime } from '../runtime.js';
import { readBaseMatrix } from '../weights/export/read-base-matrix.js';
import { transpose } from '../weights/permute.js';
import { quantBlockBytes } from '../weights/quantise.js';
import { readBytes, readFloats } from '../weights/read-values.js';
import type { TensorFile } from '../weights/tensor-file.js';
import { checkMerge, type MergeSource, mergeCut } from './merge-base.js';
import { requantiseBlocks } from './requantise-blocks.js';
import { beginCopy, copyTensor } from './rewrite-base.js';

/** `layers.3.q.q`, `layers.3.down.1.q`. */
const NUMBERS = new RegExp(`^layers\\.(\\d+)\\.(${moduleNames.join('|')})(?:\\.(\\d+))?\\.q$`);

/**
 * Writes a quantised base file into which a candidate is merged: the numbers change, the scales are the
 * base's, and a weight that was 0 stays 0. So the file computes exactly what the training's rounded
 * weights did (`requantiseBlocks`). What the candidate leaves out becomes zeros, as in mergeBase.
 * `sourceBaseDigest` is still that of the file's own fp32 base: who stores it gives it another one.
 * @throws ADAPTER_CONFIG for an adapter that was not trained for these numbers, since they would round
 *   off what it learnt; MODEL_CONFIG for an fp32 file; as checkMerge
 * @source SQFT section 3.3, QA-SparsePEFT
 */
export async function mergeQuantised(runtime: Runtime, source: MergeSource, sink: ByteSink): Promise<void> {
  const { base, genome } = source;
  const { layout, factors, record } = await checkMerge(source);
  const { shape, precision } = layout;
  if (precision === 'fp32')
    throw new CodedError('MODEL_CONFIG', 'base file has precision fp32, wanted a quantised one');
  if (factors.facts.masked === undefined)
    throw new CodedError(
      'ADAPTER_CONFIG',
      `the adapter was trained beside floats, wanted one that was trained masked in ${precision}`,
    );
  const merger = await openMerger(runtime, shape, factors, 'plain');
  /** W + product as [out, in], of the module that was asked for last. */
  const sumsOf = rememberLast(async (layer: number, module: ModuleName): Promise<Float32Array> => {
    const [input, output] = moduleDims(shape, module);
    const isDown = module === 'down';
    const weight = await readBaseMatrix(base, layout, layer, module);
    const stored = isDown ? transpose(weight, output, input) : weight;
    const sums = await mergeCut(shape, genome, layer, module, stored, (cut) =>
      merger.merge(genome, layer, module, cut),
    );
    return isDown ? transpose(sums, input, output) : sums;
  });
  try {
    const target = await beginCopy(base, { merged: JSON.stringify(record) }, sink);
    for (const name of base.tensors.keys()) {
      const [, layer, module, chunk = '0'] = NUMBERS.exec(name) ?? [];
      if (layer === undefined) {
        await copyTensor(base, name, target);
        continue;
      }
      const own = module as ModuleName;
      const sums = await sumsOf(Number(layer), own);
      await target.write(name, await requantisePart(base, layout, own, { name, chunk: Number(chunk) }, sums));
    }
    await target.end();
  } finally {
    await merger.close();
  }
}

/** The numbers of one stored part of a module, for weights [out, in] of all of it. */
async function requantisePart(
  base: TensorFile,
  { shape, precision, ffnChunks }: BaseLayout,
  module: ModuleName,
  part: { readonly name: string; readonly chunk: number },
  sums: Float32Array,
): Promise<Uint8Array> {
  const [input, output] = moduleDims(shape, module);
  const parts = module === 'o' ? shape.kvHeads : 1;
  const sizes = module === 'down' ? ffnChunks : Array.from({ length: parts }, () => input / parts);
  const size = sizes[part.chunk];
  if (precision === 'fp32' || size === undefined)
    throw new CodedError('WEIGHT_SHAPE', `weight file has a tensor "${part.name}" that no module is made of`);
  const start = sizes.slice(0, part.chunk).reduce((sum, one) => sum + one, 0);
  const values = new Float32Array(output * size);
  for (let row = 0; row < output; row++)
    values.set(sums.subarray(row * input + start, row * input + start + size), row * size);
  const blocks = size / quantBlock;
  const q = await readBytes(base, part.name, [output, blocks, quantBlockBytes(precision)]);
  const scale = await readFloats(base, part.name.replace(/q$/, 'scale'), [output, blocks]);
  return requantiseBlocks(values, { q, scale }, precision);
}

/** Chunks of one module follow each other, so its matrix is made once. */
function rememberLast<T>(
  make: (layer: number, module: ModuleName) => Promise<T>,
): (layer: number, module: ModuleName) => Promise<T> {
  let last: { readonly key: string; readonly value: T } | null = null;
  return async (layer, module) => {
    const key = `${layer}.${module}`;
    if (last?.key !== key) {
      last = null;
      last = { key, value: await make(layer, module) };
    }
    return last.value;
  };
}
