import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import { createTokenizer } from '@fleetlora/shared/text';
import { layBase, parseLlamaConfig } from '@fleetlora/shared/weights';
import type { LaidBaseFacts, LayBaseWork } from './model-work.js';
import { readChatFiles } from './read-chat-files.js';
import { jsonCeilings, readStoredJson, withTensorFile } from './stored-files.js';

/**
 * Turns the uploaded files of a Hugging Face folder into a stored base file.
 * Nothing is stored unless every file is good.
 */
export async function layBaseFiles(store: FileContentStore, work: LayBaseWork): Promise<LaidBaseFacts> {
  const readConfig = (digest: string, what: string): Promise<unknown> =>
    readStoredJson(store, digest, what, { ceiling: jsonCeilings.config, code: 'MODEL_CONFIG' });
  const config = parseLlamaConfig(
    await readConfig(work.configDigest, 'config.json'),
    work.generationDigest === null
      ? undefined
      : await readConfig(work.generationDigest, 'generation_config.json'),
  );
  const { shape } = config;
  const tokenizer = createTokenizer(
    await readStoredJson(store, work.tokenizerDigest, 'tokenizer.json', {
      ceiling: jsonCeilings.tokenizer,
      code: 'TOKENIZER',
    }),
  );
  if (tokenizer.vocabSize > shape.vocab)
    throw new CodedError(
      'TOKENIZER',
      `tokenizer.json has ${tokenizer.vocabSize} tokens, the model embeds ${shape.vocab}`,
    );
  const chat = await readChatFiles(store, work);
  const laid = await withTensorFile(store, work.weightsDigest, (file) =>
    layBase({ config, file, sourceDigest: work.weightsDigest, tokenizerDigest: work.tokenizerDigest, chat }),
  );
  return {
    digest: await store.put(laid.bytes),
    bytes: laid.bytes.length,
    parameters: laid.parameters,
    layers: shape.layers,
    hidden: shape.hidden,
    ffnWidth: shape.ffnWidth,
    vocab: shape.vocab,
  };
}
