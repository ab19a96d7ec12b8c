import { CodedError } from '../errors.js';
import { limits } from '../protocol/limits.js';
import { type FoundTensor, tensorsOf } from './hf-model.js';
import { quoteValue as quote } from './quote-value.js';
import type { TensorFile } from './tensor-file.js';

/** As transformers names them, in the 64 characters of an upload; anything else is not a file beside the index. */
const SHARD_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,51}\.safetensors$/;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const broken = (what: string): CodedError =>
  new CodedError('MODEL_CONFIG', `model.safetensors.index.json ${what}`);

/** Which shard holds which tensor. */
export interface ShardIndex {
  /** Shard by tensor name. */
  readonly shardOf: ReadonlyMap<string, string>;
  /** File names of the shards, sorted. */
  readonly shards: readonly string[];
  /** Bytes of all tensors together, where the index tells. */
  readonly totalBytes: number | null;
}

/**
 * Reads a model.safetensors.index.json.
 * @param value parsed
 * @throws MODEL_CONFIG when it is no such index, names a file that is not beside it, or too many
 * @source transformers 5.17, save_pretrained: {"metadata": {"total_size"}, "weight_map": {name: file}}
 */
export function parseShardIndex(value: unknown): ShardIndex {
  const map = isRecord(value) ? value.weight_map : undefined;
  if (!isRecord(value) || !isRecord(map) || Object.keys(map).length === 0)
    throw broken(`has weight_map = ${quote(map)}, wanted the file of every tensor`);
  const shardOf = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !SHARD_NAME.test(file))
      throw broken(`puts ${quote(name)} into ${quote(file)}, wanted the name of a .safetensors file`);
    shardOf.set(name, file);
  }
  const shards = [...new Set(shardOf.values())].sort();
  if (shards.length > limits.modelShards)
    throw broken(`names ${shards.length} files, at most ${limits.modelShards} are allowed`);
  const total = isRecord(value.metadata) ? value.metadata.total_size : undefined;
  if (total !== undefined && !(Number.isSafeInteger(total) && (total as number) >= 0))
    throw broken(`has total_size = ${quote(total)}, wanted a number of bytes`);
  return { shardOf, shards, totalBytes: total === undefined ? null : (total as number) };
}

/**
 * The tensors of all shards as if they lay in one file.
 * @param files by the names that the index gives them
 * @throws WEIGHT_MISSING when a file or a tensor is not where the index says; MODEL_CONFIG when a
 *   shard holds a tensor that the index puts elsewhere or does not know, or the sizes differ
 */
export function joinShards(
  index: ShardIndex,
  files: ReadonlyMap<string, TensorFile>,
): Map<string, FoundTensor> {
  const joined = new Map<string, FoundTensor>();
  let bytes = 0;
  for (const shard of index.shards) {
    const file = files.get(shard);
    if (!file) throw new CodedError('WEIGHT_MISSING', `the index names "${shard}", which is not there`);
    for (const [name, tensor] of tensorsOf(file)) {
      const wanted = index.shardOf.get(name);
      if (wanted !== shard)
        throw broken(
          `puts ${quote(name)} into ${wanted === undefined ? 'no file' : `"${wanted}"`}, "${shard}" holds it`,
        );
      joined.set(name, tensor);
      bytes += tensor.entry.bytes;
    }
  }
  for (const [name, shard] of index.shardOf)
    if (!joined.has(name))
      throw new CodedError(
        'WEIGHT_MISSING',
        `"${shard}" has no tensor ${quote(name)}, which the index puts there`,
      );
  if (index.totalBytes !== null && index.totalBytes !== bytes)
    throw broken(`tells of ${index.totalBytes} bytes in all, the shards hold ${bytes}`);
  return joined;
}
