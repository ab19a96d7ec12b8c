import { createFileContentStore } from '@fleetlora/shared/node';
import type { Precision } from '@fleetlora/shared/space';
import { bufferSource, createBufferSink, quantiseBase, readTensorFile } from '@fleetlora/shared/weights';
import type { TinyModel } from './tiny-model.js';

/** Sizes of which every side that is quantised is whole blocks, and the FFN is three chunks of them. */
export const quantisableShape = {
  layers: 3,
  hidden: 64,
  heads: 8,
  kvHeads: 4,
  headDim: 16,
  ffnWidth: 128,
} as const;

/** The model over the twin of its base in another precision; the same super-adapter. */
export async function quantiseTinyModel(model: TinyModel, precision: Precision): Promise<TinyModel> {
  if (precision === 'fp32') return model;
  const store = await createFileContentStore(model.folder);
  const sink = createBufferSink();
  await quantiseBase({ file: model.base.file, digest: model.base.fileName }, precision, sink);
  const bytes = sink.bytes();
  const fileName = await store.put(bytes);
  return { ...model, base: { fileName, file: await readTensorFile(bufferSource(bytes)) } };
}
