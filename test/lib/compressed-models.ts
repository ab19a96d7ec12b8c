import { measureInputs, pruneBase } from '@fleetlora/shared/compress';
import type { ModuleName, WeightFile } from '@fleetlora/shared/graph';
import { createFileContentStore, createNodeRuntime } from '@fleetlora/shared/node';
import type { ByteSink } from '@fleetlora/shared/runtime';
import type { Precision } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import {
  type AdapterFactors,
  bufferSource,
  createBufferSink,
  encodeAdapterFile,
  readAdapterFacts,
  readFloats,
  readTensorFile,
} from '@fleetlora/shared/weights';
import type { TinyModel } from './tiny-model.js';

/** Stores what `write` writes beside a model's files. */
export async function putFile(folder: string, write: (sink: ByteSink) => Promise<void>): Promise<WeightFile> {
  const sink = createBufferSink();
  await write(sink);
  const fileName = await (await createFileContentStore(folder)).put(sink.bytes());
  return { fileName, file: await readTensorFile(bufferSource(sink.bytes())) };
}

/** A model's base pruned, calibrated on rows. */
export async function pruneTinyModel(
  { folder, base }: TinyModel,
  rows: readonly TokenRow[],
  sparsity: number,
): Promise<WeightFile> {
  const norms = await measureInputs(createNodeRuntime(), { folder, base }, rows, { threads: 1 });
  const about = { sparsity, datasetDigest: 'd'.repeat(64), rows: rows.length };
  return putFile(folder, (sink) => pruneBase({ file: base.file, digest: base.fileName }, norms, about, sink));
}

/** The factors of a model's super-adapter as an adapter of another base, masked by it or not. */
export async function adapterFor(
  { folder, shape, adapter }: TinyModel,
  baseDigest: string,
  masked?: Precision,
): Promise<WeightFile> {
  const { rankMax, alpha, modules } = readAdapterFacts(adapter.file);
  const factors: Partial<Record<ModuleName, AdapterFactors>>[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    const own: Partial<Record<ModuleName, AdapterFactors>> = {};
    for (const module of modules)
      own[module] = {
        a: await readFloats(adapter.file, `layers.${layer}.${module}.A`),
        b: await readFloats(adapter.file, `layers.${layer}.${module}.B`),
      };
    factors.push(own);
  }
  const { ffnOrderDigest = '' } = adapter.file.metadata;
  const bytes = encodeAdapterFile({ shape, baseDigest, ffnOrderDigest, rankMax, alpha, factors, masked });
  return putFile(folder, (sink) => sink.write(bytes));
}
