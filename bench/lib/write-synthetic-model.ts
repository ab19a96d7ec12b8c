import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createRandom } from '@fleetlora/shared/random';
import { MiB } from '@fleetlora/shared/units';
import { elementCount, halfBits } from '@fleetlora/shared/weights';

/** Sizes of a Llama whose weights are numbers by chance. */
export interface SyntheticShape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffnWidth: number;
  readonly vocab: number;
  readonly tiedHead: boolean;
}

export interface SyntheticModel {
  readonly parameters: number;
  /** Of its files, F16. */
  readonly largestTensorBytes: number;
  /** Names of all files in the folder that an import takes. */
  readonly files: readonly string[];
}

/** Written at once; an odd number of values, so that no two rows of a matrix are alike. */
const BLOCK_VALUES = MiB - 3;

/**
 * Writes a Hugging Face folder without its tokenizer, in `shards` files of about equal size. Never
 * holds more than a block of weights: a model may be larger than the memory.
 */
export async function writeSyntheticModel(
  folder: string,
  shape: SyntheticShape,
  shards: number,
): Promise<SyntheticModel> {
  const tensors = hfTensors(shape);
  const parameters = [...tensors.values()].reduce((sum, dims) => sum + elementCount(dims), 0);
  const block = randomHalves();
  const names = Array.from({ length: shards }, (_, shard) =>
    shards === 1
      ? 'model.safetensors'
      : `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`,
  );
  const weightMap: Record<string, string> = {};
  const rest = [...tensors];
  for (const [shard, file] of names.entries()) {
    const own: [string, readonly number[]][] = [];
    let values = 0;
    const last = shard === shards - 1;
    while (rest[0] && (last || values < parameters / shards)) {
      const tensor = rest.shift() as [string, readonly number[]];
      own.push(tensor);
      values += elementCount(tensor[1]);
      weightMap[tensor[0]] = file;
    }
    await writeShard(join(folder, file), own, block);
  }
  const index = { metadata: { total_size: 2 * parameters }, weight_map: weightMap };
  const files = { 'config.json': configOf(shape), ...(shards > 1 && { [INDEX]: index }) };
  for (const [name, value] of Object.entries(files)) {
    const handle = await open(join(folder, name), 'w');
    await handle.writeFile(JSON.stringify(value));
    await handle.close();
  }
  return {
    parameters,
    largestTensorBytes: 2 * Math.max(...[...tensors.values()].map(elementCount)),
    files: [...names, ...Object.keys(files)],
  };
}

const INDEX = 'model.safetensors.index.json';

function configOf(shape: SyntheticShape): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    hidden_size: shape.hidden,
    intermediate_size: shape.ffnWidth,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    vocab_size: shape.vocab,
    max_position_embeddings: 2048,
    tie_word_embeddings: shape.tiedHead,
    eos_token_id: 0,
  };
}

function hfTensors({ layers, hidden, heads, kvHeads, ffnWidth, vocab, tiedHead }: SyntheticShape) {
  const kv = (hidden / heads) * kvHeads;
  const tensors = new Map<string, readonly number[]>([['model.embed_tokens.weight', [vocab, hidden]]]);
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    tensors.set(`${at}.input_layernorm.weight`, [hidden]);
    tensors.set(`${at}.post_attention_layernorm.weight`, [hidden]);
    for (const module of ['q', 'o']) tensors.set(`${at}.self_attn.${module}_proj.weight`, [hidden, hidden]);
    for (const module of ['k', 'v']) tensors.set(`${at}.self_attn.${module}_proj.weight`, [kv, hidden]);
    for (const module of ['gate', 'up']) tensors.set(`${at}.mlp.${module}_proj.weight`, [ffnWidth, hidden]);
    tensors.set(`${at}.mlp.down_proj.weight`, [hidden, ffnWidth]);
  }
  tensors.set('model.norm.weight', [hidden]);
  if (!tiedHead) tensors.set('lm_head.weight', [vocab, hidden]);
  return tensors;
}

function randomHalves(): Uint8Array {
  const random = createRandom(1);
  const halves = Uint16Array.from({ length: BLOCK_VALUES }, () => halfBits(random.normal() / 32));
  return new Uint8Array(halves.buffer);
}

async function writeShard(
  path: string,
  tensors: readonly (readonly [string, readonly number[]])[],
  block: Uint8Array,
): Promise<void> {
  const header: Record<string, unknown> = {};
  let size = 0;
  for (const [name, shape] of tensors) {
    const end = size + 2 * elementCount(shape);
    header[name] = { dtype: 'F16', shape, data_offsets: [size, end] };
    size = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(json.length), true);
  const handle = await open(path, 'w');
  try {
    await handle.writeFile(prefix);
    await handle.writeFile(json);
    for (let left = size; left > 0; left -= block.length)
      await handle.writeFile(block.subarray(0, Math.min(left, block.length)));
  } finally {
    await handle.close();
  }
}
