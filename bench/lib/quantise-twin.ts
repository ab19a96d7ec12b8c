import type { WeightFile } from '@fleetlora/shared/graph';
import { createFileContentStore } from '@fleetlora/shared/node';
import { type QuantPrecision, quantiseBase, readTensorFile } from '@fleetlora/shared/weights';
import type { PreparedBase } from './prepare-model.js';

/** The quantised twin of a prepared base, beside it. */
export async function quantiseTwin(
  { folder, base }: Pick<PreparedBase, 'folder' | 'base'>,
  precision: QuantPrecision,
): Promise<WeightFile> {
  const store = await createFileContentStore(folder);
  const writer = await store.begin();
  await quantiseBase({ file: base.file, digest: base.fileName }, precision, writer);
  const fileName = await writer.finish();
  return { fileName, file: await readTensorFile(await store.open(fileName)) };
}
