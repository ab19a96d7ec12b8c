import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { formatBytes } from '@fleetlora/shared/units';
import type { ApiClient } from './api-client.js';
import type { CliContext } from './context.js';
import { startProgress } from './progress.js';

/** @throws NOT_FOUND naming the path when it is no readable file */
async function sizeOfFile(path: string): Promise<number> {
  try {
    const found = await stat(path);
    if (found.isFile()) return found.size;
  } catch (cause) {
    throw new CodedError('NOT_FOUND', `${path} cannot be read`, { cause });
  }
  throw new CodedError('NOT_FOUND', `${path} is not a file`);
}

/** Smaller files are gone before a bar could be read. */
const SHOWN_FROM_BYTES = 1_000_000;

/** Uploads one file, with a progress bar when it is not small, and returns its digest. */
export async function uploadFile(context: CliContext, api: ApiClient, path: string): Promise<string> {
  const bytes = await sizeOfFile(path);
  const progress =
    bytes < SHOWN_FROM_BYTES
      ? null
      : startProgress(context, { title: `upload ${basename(path)}`, total: bytes, format: formatBytes });
  async function* counted(): AsyncGenerator<Uint8Array> {
    let sent = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
      yield chunk as Uint8Array;
      sent += (chunk as Uint8Array).length;
      progress?.update(sent);
    }
  }
  try {
    const { digest } = await api.upload(counted(), bytes);
    progress?.finish();
    return digest;
  } finally {
    progress?.abandon();
  }
}

/**
 * Uploads files of a folder; those that must be there are looked for before the first is sent.
 * @returns digests by file name
 */
export async function uploadFolder(
  context: CliContext,
  api: ApiClient,
  folder: string,
  names: { readonly required: readonly string[]; readonly optional: readonly string[] },
): Promise<Record<string, string>> {
  for (const name of names.required) await sizeOfFile(join(folder, name));
  const present = await readdir(folder);
  const digests: Record<string, string> = {};
  for (const name of [...names.required, ...names.optional.filter((name) => present.includes(name))])
    digests[name] = await uploadFile(context, api, join(folder, name));
  return digests;
}

/** What makes a base whose weights are one file, and a PEFT adapter. */
export const baseFiles = {
  required: ['config.json', 'model.safetensors', 'tokenizer.json'],
  optional: ['generation_config.json', 'tokenizer_config.json', 'chat_template.jinja'],
} as const;
export const adapterFiles = {
  required: ['adapter_config.json', 'adapter_model.safetensors'],
  optional: ['channel_order.json'],
} as const;
