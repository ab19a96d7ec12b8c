import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileContentStore, type FileContentStore } from '@fleetlora/shared/node';
import type { ByteSink } from '@fleetlora/shared/runtime';

/** Stores what `write` writes. @throws DISK_FULL, and what `write` throws: then nothing is stored */
export async function storeFile(
  store: FileContentStore,
  write: (sink: ByteSink) => Promise<void>,
): Promise<{ readonly digest: string; readonly bytes: number }> {
  const writer = await store.begin();
  try {
    await write(writer);
    return { digest: await writer.finish(), bytes: writer.bytes };
  } finally {
    await writer.discard();
  }
}

/**
 * Runs `use` with a store for what is needed on the way alone. It is no part of the content folder, where
 * a file that some record names might be the same.
 * @param incomingFolder emptied at every start, should this one end in between
 */
export async function withScratch<T>(
  incomingFolder: string,
  use: (scratch: FileContentStore) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(incomingFolder, 'model-'));
  try {
    return await use(await createFileContentStore(folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
