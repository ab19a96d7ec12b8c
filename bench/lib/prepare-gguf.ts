import { readModelShape } from '@fleetlora/shared/graph';
import { createFileContentStore, openFileSource, sha256File } from '@fleetlora/shared/node';
import { createTokenizer, readGgufChat, readGgufStopIds, readGgufTokenizer } from '@fleetlora/shared/text';
import { ggufSource, layBase, readGguf, readGgufConfig, readTensorFile } from '@fleetlora/shared/weights';
import type { PreparedBase } from './prepare-model.js';

/** Lays the model of a GGUF file out in `weightFolder`, with the tokenizer that the file describes. */
export async function prepareGguf(path: string, weightFolder: string): Promise<PreparedBase> {
  const store = await createFileContentStore(weightFolder);
  const bytes = await openFileSource(path);
  try {
    const file = await readGguf(bytes);
    const config = await readGgufConfig(file, readGgufStopIds(file.metadata));
    const tokenizer = readGgufTokenizer(file.metadata);
    const tokenizerDigest = await store.put(new TextEncoder().encode(JSON.stringify(tokenizer)));
    const writer = await store.begin();
    const source = ggufSource(file, config, await sha256File(path));
    await layBase(source, { tokenizerDigest, chat: readGgufChat(file.metadata) }, writer);
    const fileName = await writer.finish();
    const laid = await readTensorFile(await store.open(fileName));
    return {
      folder: weightFolder,
      base: { fileName, file: laid },
      shape: readModelShape(laid),
      tokenizer: createTokenizer(tokenizer),
      stopIds: config.stopIds,
    };
  } finally {
    await bytes.close();
  }
}
