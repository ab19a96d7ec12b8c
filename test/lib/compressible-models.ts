import { readMerge, readPruning } from '@fleetlora/shared/compress';
import { readModelShape } from '@fleetlora/shared/graph';
import type { Base } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { uniformGenome } from '@fleetlora/shared/space';
import {
  encodeTensorFile,
  readModelOrders,
  readTensorFile,
  type TensorToWrite,
} from '@fleetlora/shared/weights';
import type { Test } from 'tap';
import { readFullWeights } from './full-weights.js';
import { type OpenModels, openModels } from './open-models.js';
import { tinyConfig, tinyPeftConfig, tinyPeftTensors, tinyTensors, tinyTokenizer } from './tiny-llama.js';

/** The tiny model with an FFN of 32 channels, so that it can be quantised. */
function widened(tensors: readonly TensorToWrite[], seed: number): Uint8Array {
  const random = createRandom(seed);
  const wide = tensors.map((tensor): TensorToWrite => {
    const shape = tensor.shape.map((size) => (size === 8 ? 32 : size));
    const count = shape.reduce((product, size) => product * size, 1);
    return count === tensor.data.length
      ? tensor
      : { ...tensor, shape, data: Float32Array.from({ length: count }, () => random.normal() * 0.3) };
  });
  return encodeTensorFile(wide, { format: 'pt' }, { alignment: 'none' });
}

export interface Compressible extends OpenModels {
  readonly base: Base;
  readonly baseFiles: Record<string, string>;
  readonly adapterFiles: Record<string, string>;
}

/** A catalog with the base "tiny" and the data set "rows" of 8 rows, and the uploads of an adapter. */
export async function openCompressible(t: Test): Promise<Compressible> {
  const models = await openModels(t);
  const { catalog, content, upload } = models;
  const baseFiles = await upload({
    'config.json': { ...tinyConfig, intermediate_size: 32 },
    'model.safetensors': widened(tinyTensors('F16'), 5),
    'tokenizer.json': tinyTokenizer(),
  });
  const adapterFiles = await upload({
    'adapter_config.json': tinyPeftConfig(),
    'adapter_model.safetensors': widened(tinyPeftTensors(), 6),
  });
  const base = await catalog.importBase({ name: 'tiny', files: baseFiles });
  const rows = Array.from({ length: 8 }, (_, row) =>
    JSON.stringify({ prompt: `${row} and some more text?`, completion: ` ${row}` }),
  );
  const all = await content.put(new TextEncoder().encode(rows.join('\n')));
  await catalog.importDataset({ name: 'rows', files: { all } });
  return { ...models, base, baseFiles, adapterFiles };
}

/** Weights of a stored base file and what it records. */
export async function readStored({ content }: OpenModels, digest: string) {
  const source = await content.open(digest);
  try {
    const file = await readTensorFile(source);
    const { metadata } = file;
    const weights = await readFullWeights(file);
    const orders = await readModelOrders(file, readModelShape(file));
    return { metadata, weights, orders, pruning: readPruning(file), merge: readMerge(file) };
  } finally {
    await source.close();
  }
}

export const zerosIn = (weights: ReadonlyMap<string, Float32Array>, name: string): boolean[] =>
  [...(weights.get(name) as Float32Array)].map((value) => value === 0);
/** Linear modules of the two layers. */
export const linear = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'].flatMap((m) => [
  `layers.0.${m}`,
  `layers.1.${m}`,
]);
/** The candidate that is all of the adapter. */
export const whole = uniformGenome(2, 4, 32);
