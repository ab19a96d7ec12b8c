import { createHash } from 'node:crypto';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import {
  type ChatTemplateSource,
  createTokenizer,
  readGgufChat,
  readGgufStopIds,
  readGgufTokenizer,
} from '@fleetlora/shared/text';
import { type GgufFile, ggufSource, readGguf, readGgufConfig } from '@fleetlora/shared/weights';
import type { OpenModel } from './open-hf-files.js';
import { jsonCeilings, readStoredJson } from './stored-files.js';

/** A model in a GGUF file, which has its chat template in it. */
export interface OpenGguf extends OpenModel {
  readonly chat: ChatTemplateSource | null;
}

/**
 * Opens an uploaded GGUF file. Its tokenizer becomes a tokenizer.json, which is not stored yet,
 * unless one was uploaded beside it.
 * @param files digests by name: one that ends in .gguf, and perhaps tokenizer.json
 * @param chat `leaveOut`: its chat template is not even looked at
 * @throws GGUF_*, WEIGHT_*, MODEL_CONFIG, TOKENIZER, UNSUPPORTED_ARCHITECTURE
 */
export async function openGgufFile(
  store: FileContentStore,
  files: Readonly<Record<string, string>>,
  chat: 'take' | 'leaveOut',
): Promise<OpenGguf> {
  const [, digest] = Object.entries(files).find(([name]) => name.endsWith('.gguf')) ?? [];
  if (digest === undefined) throw new CodedError('BUG', 'no GGUF file among those of a base');
  const bytes = await store.open(digest);
  try {
    const file = await readGguf(bytes);
    const config = await readGgufConfig(file, readGgufStopIds(file.metadata));
    return {
      source: ggufSource(file, config, digest),
      ...(await readTokenizer(store, file, files['tokenizer.json'], config.shape.vocab)),
      chat: chat === 'leaveOut' ? null : readGgufChat(file.metadata),
      close: () => bytes.close(),
    };
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

/** The tokenizer that the model is to have, tried. */
async function readTokenizer(
  store: FileContentStore,
  file: GgufFile,
  uploaded: string | undefined,
  vocab: number,
): Promise<Pick<OpenModel, 'tokenizerDigest' | 'madeTokenizer'>> {
  const json =
    uploaded === undefined
      ? readGgufTokenizer(file.metadata)
      : await readStoredJson(store, uploaded, 'tokenizer.json', {
          ceiling: jsonCeilings.tokenizer,
          code: 'TOKENIZER',
        });
  const { vocabSize } = createTokenizer(json);
  if (vocabSize > vocab)
    throw new CodedError(
      'TOKENIZER',
      `${uploaded === undefined ? 'the GGUF file' : 'tokenizer.json'} has ${vocabSize} tokens, the model embeds ${vocab}`,
    );
  if (uploaded !== undefined) return { tokenizerDigest: uploaded, madeTokenizer: null };
  const made = new TextEncoder().encode(JSON.stringify(json));
  return { tokenizerDigest: createHash('sha256').update(made).digest('hex'), madeTokenizer: made };
}
