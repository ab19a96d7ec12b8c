import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { baseFiles } from './upload-file.js';

const INDEX = 'model.safetensors.index.json';

/**
 * The files of a Hugging Face folder that make a base: one weight file, or the index and its shards
 * where there is no such file, as transformers chooses.
 * @throws NOT_FOUND when the folder cannot be read, MODEL_CONFIG when the index is broken
 */
export async function listBaseFiles(
  folder: string,
  { chatTemplate }: { readonly chatTemplate: boolean },
): Promise<{ readonly required: readonly string[]; readonly optional: readonly string[] }> {
  const optional = chatTemplate
    ? baseFiles.optional
    : baseFiles.optional.filter((name) => name === 'generation_config.json');
  const present = await readdir(folder).catch((cause: unknown) => {
    throw new CodedError('NOT_FOUND', `${folder} cannot be read`, { cause });
  });
  if (present.includes('model.safetensors') || !present.includes(INDEX))
    return { required: baseFiles.required, optional };
  // Loaded for sharded models alone: every other command would wait for it.
  const { parseShardIndex } = await import('@fleetlora/shared/weights');
  const { shards } = parseShardIndex(await readIndex(join(folder, INDEX)));
  return { required: ['config.json', 'tokenizer.json', INDEX, ...shards], optional };
}

async function readIndex(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new CodedError('MODEL_CONFIG', `${path} is not JSON`, { cause });
  }
}
