import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChatTemplateSource } from '@fleetlora/shared/text';
import {
  bufferSource,
  createBufferSink,
  layBase,
  openHfModel,
  parseModelConfig,
  readPeftAdapter,
  readTensorFile,
  tensorsOf,
} from '@fleetlora/shared/weights';
import { findReference } from './reference.js';
import { tinyConfig, tinyModelFile, tinyPeftConfig, tinyPeftFile, tinyTokenizer } from './tiny-llama.js';

/** A base, its tokenizer and a super-adapter as an agent downloads them. */
export interface LaidModel {
  readonly base: Uint8Array;
  readonly adapter: Uint8Array;
  readonly tokenizer: Uint8Array;
  readonly baseDigest: string;
  readonly adapterDigest: string;
  readonly tokenizerDigest: string;
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The two-layer model of tiny-llama.ts: 32 hidden, 8 FFN channels, 64 positions, rank 4. */
export function layTinyModel(
  options: { readonly chat?: ChatTemplateSource; readonly positions?: number } = {},
): Promise<LaidModel> {
  return lay({
    config: { ...tinyConfig, max_position_embeddings: options.positions ?? 64 },
    chat: options.chat ?? null,
    model: tinyModelFile(),
    tokenizer: new TextEncoder().encode(JSON.stringify(tinyTokenizer())),
    peftConfig: tinyPeftConfig(),
    peft: tinyPeftFile(),
  });
}

/** tiny-llama-7m and its Banking77 super-adapter of the reference folder; null when it is missing. */
export async function layReferenceModel(): Promise<LaidModel | null> {
  const base = findReference('models', 'tiny-llama-7m');
  const adapter = findReference('models', 'banking77-super-adapter');
  if (base === null || adapter === null) return null;
  return lay({
    config: JSON.parse(await readFile(join(base, 'config.json'), 'utf8')),
    model: await readFile(join(base, 'model.safetensors')),
    tokenizer: await readFile(join(base, 'tokenizer.json')),
    peftConfig: JSON.parse(await readFile(join(adapter, 'adapter_config.json'), 'utf8')),
    peft: await readFile(join(adapter, 'adapter_model.safetensors')),
    channelOrder: JSON.parse(await readFile(join(adapter, 'channel_order.json'), 'utf8')),
  });
}

async function lay(model: {
  readonly config: object;
  readonly model: Uint8Array;
  readonly tokenizer: Uint8Array;
  readonly peftConfig: object;
  readonly peft: Uint8Array;
  readonly channelOrder?: object;
  readonly chat?: ChatTemplateSource | null;
}): Promise<LaidModel> {
  const open = (bytes: Uint8Array) => readTensorFile(bufferSource(bytes));
  const tokenizerDigest = digestOf(model.tokenizer);
  const source = openHfModel(
    parseModelConfig(model.config),
    tensorsOf(await open(model.model)),
    digestOf(model.model),
  );
  const sink = createBufferSink();
  await layBase(source, { tokenizerDigest, chat: model.chat ?? null }, sink);
  const base = sink.bytes();
  const baseDigest = digestOf(base);
  const adapter = await readPeftAdapter(
    model.peftConfig,
    await open(model.peft),
    { file: await open(base), digest: baseDigest },
    model.channelOrder,
  );
  return {
    base,
    adapter,
    tokenizer: model.tokenizer,
    baseDigest,
    adapterDigest: digestOf(adapter),
    tokenizerDigest,
  };
}
