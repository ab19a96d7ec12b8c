import type { FileContentStore } from '@fleetlora/shared/node';
import type { Runtime } from '@fleetlora/shared/runtime';
import type { ChatTemplateSource } from '@fleetlora/shared/text';
import { layBase } from '@fleetlora/shared/weights';
import { checkBaseFiles } from './base-files.js';
import type { LaidBaseFacts, LayBaseWork } from './model-work.js';
import { openGgufFile } from './open-gguf-file.js';
import { type OpenModel, openHfFiles } from './open-hf-files.js';
import { orderModelSource } from './order-model-source.js';
import { checkChatSource, readChatFiles } from './read-chat-files.js';

/**
 * Turns the uploaded files of a model into a stored base file, piece by piece.
 * Nothing is stored unless every file is good.
 */
export async function layBaseFiles(
  runtime: Runtime,
  store: FileContentStore,
  work: LayBaseWork,
): Promise<LaidBaseFacts> {
  const model = await openModel(store, work);
  try {
    const { shape } = model.source.config;
    const { tokenizerDigest, madeTokenizer } = model;
    const uploaded = await readChatFiles(store, {
      tokenizerConfigDigest: work.files['tokenizer_config.json'] ?? null,
      chatTemplateDigest: work.files['chat_template.jinja'] ?? null,
    });
    const chat = uploaded ?? checkChatSource(model.chat);
    const { sorting } = work;
    const orders = sorting && (await orderModelSource(runtime, store, model, sorting));
    const file = await store.begin();
    try {
      const { parameters } = await layBase(
        model.source,
        { tokenizerDigest, chat, ...(orders && { orders }) },
        file,
      );
      // Only now is it known that every weight is good.
      if (madeTokenizer !== null) await store.put(madeTokenizer);
      return {
        digest: await file.finish(),
        bytes: file.bytes,
        tokenizerDigest,
        parameters,
        layers: shape.layers,
        hidden: shape.hidden,
        ffnWidth: shape.ffnWidth,
        kvHeads: shape.kvHeads,
        vocab: shape.vocab,
      };
    } finally {
      await file.discard();
    }
  } finally {
    await model.close();
  }
}

async function openModel(
  store: FileContentStore,
  { files, chatTemplate }: LayBaseWork,
): Promise<OpenModel & { readonly chat: ChatTemplateSource | null }> {
  if (checkBaseFiles(files) === 'gguf')
    return openGgufFile(store, files, chatTemplate === false ? 'leaveOut' : 'take');
  return { ...(await openHfFiles(store, files)), chat: null };
}
