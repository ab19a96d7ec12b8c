import { readModelShape } from '@fleetlora/shared/graph';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { BaseFile } from '@fleetlora/shared/protocol';
import { chooseChunks, quantiseBase } from '@fleetlora/shared/weights';
import type { QuantiseWork } from './model-work.js';
import { withTensorFile } from './stored-files.js';

/**
 * Stores the twin of a base's fp32 file in another precision, a matrix or a part of one at a time.
 * Equal work gives an equal file.
 * @throws the errors of quantiseBase; NOT_FOUND when the fp32 file is not stored
 */
export async function quantiseBaseFile(store: FileContentStore, work: QuantiseWork): Promise<BaseFile> {
  const { baseDigest: digest, precision, widthPercents } = work;
  return withTensorFile(store, digest, async (file) => {
    const chunks = chooseChunks(readModelShape(file).ffnWidth, widthPercents);
    const writer = await store.begin();
    try {
      await quantiseBase({ file, digest }, precision, writer, chunks);
      return { digest: await writer.finish(), bytes: writer.bytes };
    } finally {
      await writer.discard();
    }
  });
}
