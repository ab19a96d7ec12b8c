import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bufferSource,
  createBufferSink,
  type FoundTensor,
  joinShards,
  layBase,
  openHfModel,
  parseModelConfig,
  parseShardIndex,
  readTensorFile,
  type TensorFile,
  tensorsOf,
} from '@fleetlora/shared/weights';
import { checkout } from './reference.js';

/** Made by test/data/make-hf-models.py: transformers' own files, and what PyTorch computes of them. */
export const hfModels = join(checkout, 'test', 'data', 'hf-models');

export const openTensorFile = async (path: string): Promise<TensorFile> =>
  readTensorFile(bufferSource(await readFile(path)));
export const readJsonFile = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(path, 'utf8'));

/** A folder's weights, whole or in shards. */
export async function openHfTensors(folder: string): Promise<ReadonlyMap<string, FoundTensor>> {
  const files = await readdir(folder);
  if (files.includes('model.safetensors'))
    return tensorsOf(await openTensorFile(join(folder, 'model.safetensors')));
  const index = parseShardIndex(await readJsonFile(join(folder, 'model.safetensors.index.json')));
  const shards = new Map<string, TensorFile>();
  for (const name of index.shards) shards.set(name, await openTensorFile(join(folder, name)));
  return joinShards(index, shards);
}

/** The bytes of one of them as a base file. */
export async function layHfModel(name: string): Promise<Uint8Array> {
  const folder = join(hfModels, name);
  const config = parseModelConfig(await readJsonFile(join(folder, 'config.json')));
  const sink = createBufferSink();
  const source = openHfModel(config, await openHfTensors(folder), 'a'.repeat(64));
  await layBase(source, { tokenizerDigest: 'b'.repeat(64) }, sink);
  return sink.bytes();
}
