import { createHash } from 'node:crypto';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore, FileSource } from '@fleetlora/shared/node';
import { createTokenizer } from '@fleetlora/shared/text';
import {
  type FoundTensor,
  joinShards,
  type ModelSource,
  openHfModel,
  parseModelConfig,
  parseShardIndex,
  readTensorFile,
  type TensorFile,
  tensorsOf,
} from '@fleetlora/shared/weights';
import { jsonCeilings, readStoredJson } from './stored-files.js';

/** A model to be laid out, with the files it is read from. */
export interface OpenModel {
  readonly source: ModelSource;
  readonly tokenizerDigest: string;
  /** The tokenizer.json of that digest where it was made, to be stored with the base; null for an uploaded one. */
  readonly madeTokenizer: Uint8Array | null;
  close(): Promise<void>;
}

/**
 * Opens the uploaded files of a Hugging Face folder, whole or in shards.
 * @param files digests by name
 * @throws MODEL_CONFIG, TOKENIZER, UNSUPPORTED_ARCHITECTURE, WEIGHT_*, SAFETENSORS_*
 */
export async function openHfFiles(
  store: FileContentStore,
  files: Readonly<Record<string, string>>,
): Promise<OpenModel> {
  const readConfig = (name: string): Promise<unknown> =>
    readStoredJson(store, files[name] as string, name, {
      ceiling: jsonCeilings.config,
      code: 'MODEL_CONFIG',
    });
  const config = parseModelConfig(
    await readConfig('config.json'),
    files['generation_config.json'] === undefined ? undefined : await readConfig('generation_config.json'),
  );
  const tokenizerDigest = files['tokenizer.json'] as string;
  const tokenizer = createTokenizer(
    await readStoredJson(store, tokenizerDigest, 'tokenizer.json', {
      ceiling: jsonCeilings.tokenizer,
      code: 'TOKENIZER',
    }),
  );
  if (tokenizer.vocabSize > config.shape.vocab)
    throw new CodedError(
      'TOKENIZER',
      `tokenizer.json has ${tokenizer.vocabSize} tokens, the model embeds ${config.shape.vocab}`,
    );
  const opened: FileSource[] = [];
  const open = async (digest: string): Promise<TensorFile> => {
    const source = await store.open(digest);
    opened.push(source);
    return readTensorFile(source);
  };
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((source) => source.close()));
  };
  try {
    const { tensors, digest } = await openTensors(store, files, open);
    const source = openHfModel(config, tensors, digest);
    return { source, tokenizerDigest, madeTokenizer: null, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openTensors(
  store: FileContentStore,
  files: Readonly<Record<string, string>>,
  open: (digest: string) => Promise<TensorFile>,
): Promise<{ readonly tensors: Map<string, FoundTensor>; readonly digest: string }> {
  const whole = files['model.safetensors'];
  if (whole !== undefined) return { tensors: tensorsOf(await open(whole)), digest: whole };
  const index = parseShardIndex(
    await readStoredJson(
      store,
      files['model.safetensors.index.json'] as string,
      'model.safetensors.index.json',
      { ceiling: jsonCeilings.shardIndex, code: 'MODEL_CONFIG' },
    ),
  );
  const shards = new Map<string, TensorFile>();
  const hash = createHash('sha256');
  for (const name of index.shards) {
    const digest = files[name];
    if (digest === undefined)
      throw new CodedError('BAD_REQUEST', `the index names "${name}", which was not uploaded`);
    shards.set(name, await open(digest));
    hash.update(`${digest}\n`);
  }
  return { tensors: joinShards(index, shards), digest: hash.digest('hex') };
}
