import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ModelShape, readModelShape, type WeightFile } from '@fleetlora/shared/graph';
import { createFileContentStore, openFileSource, sha256File } from '@fleetlora/shared/node';
import { createTokenizer, type Tokenizer } from '@fleetlora/shared/text';
import {
  bufferSource,
  layBase,
  openHfModel,
  parseModelConfig,
  readPeftAdapter,
  readTensorFile,
  tensorsOf,
} from '@fleetlora/shared/weights';

/** A Hugging Face model laid out as a base in a weight folder. */
export interface PreparedBase {
  readonly folder: string;
  readonly base: WeightFile;
  readonly shape: ModelShape;
  readonly tokenizer: Tokenizer;
  readonly stopIds: readonly number[];
}

const readJson = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'));
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Lays config.json, model.safetensors and tokenizer.json of `modelFolder` out in `weightFolder`. */
export async function prepareBase(modelFolder: string, weightFolder: string): Promise<PreparedBase> {
  const store = await createFileContentStore(weightFolder);
  const weightsPath = join(modelFolder, 'model.safetensors');
  const tokenizerPath = join(modelFolder, 'tokenizer.json');
  const generationPath = join(modelFolder, 'generation_config.json');
  const source = await openFileSource(weightsPath);
  const config = parseModelConfig(
    await readJson(join(modelFolder, 'config.json')),
    (await exists(generationPath)) ? await readJson(generationPath) : undefined,
  );
  const tensors = tensorsOf(await readTensorFile(source));
  const writer = await store.begin();
  await layBase(
    openHfModel(config, tensors, await sha256File(weightsPath)),
    { tokenizerDigest: await sha256File(tokenizerPath) },
    writer,
  );
  await source.close();
  const fileName = await writer.finish();
  const file = await readTensorFile(bufferSource(await readFile(store.pathOf(fileName))));
  return {
    folder: weightFolder,
    base: { fileName, file },
    shape: readModelShape(file),
    tokenizer: createTokenizer(await readJson(tokenizerPath)),
    stopIds: config.stopIds,
  };
}

/** Imports a PEFT LoRA folder as a super-adapter file beside the base. */
export async function prepareAdapter(adapterFolder: string, prepared: PreparedBase): Promise<WeightFile> {
  const store = await createFileContentStore(prepared.folder);
  const orderPath = join(adapterFolder, 'channel_order.json');
  const source = await openFileSource(join(adapterFolder, 'adapter_model.safetensors'));
  const bytes = await readPeftAdapter(
    await readJson(join(adapterFolder, 'adapter_config.json')),
    await readTensorFile(source),
    { file: prepared.base.file, digest: prepared.base.fileName },
    (await exists(orderPath)) ? await readJson(orderPath) : undefined,
  );
  await source.close();
  const fileName = await store.put(bytes);
  return { fileName, file: await readTensorFile(bufferSource(bytes)) };
}
