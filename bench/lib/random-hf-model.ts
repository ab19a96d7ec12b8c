import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasBias, type ModelShape, moduleDims, moduleNames } from '@fleetlora/shared/graph';
import { createRandom, type Random } from '@fleetlora/shared/random';
import {
  encodeTensorFile,
  modulePaths,
  parseModelConfig,
  type TensorToWrite,
} from '@fleetlora/shared/weights';
import { tinyTokenizer } from './tiny-llama.js';

/** Tensors of a model of this shape by their Hugging Face names, each weight of it large enough to show in the logits. */
export function huggingFaceTensors(shape: ModelShape, random: Random): TensorToWrite[] {
  const matrix = (name: string, rows: number, columns: number, scale: number): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: [rows, columns],
    data: deviates(random, rows * columns, scale),
  });
  const gain = (name: string): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: [shape.hidden],
    data: deviates(random, shape.hidden, 0.2).map((value) => 1 + value),
  });
  const { hidden, vocab } = shape;
  return [
    matrix('model.embed_tokens.weight', vocab, hidden, 0.5),
    ...(shape.tiedHead ? [] : [matrix('lm_head.weight', vocab, hidden, 0.5)]),
    gain('model.norm.weight'),
    ...Array.from({ length: shape.layers }, (_, layer) => [
      gain(`model.layers.${layer}.input_layernorm.weight`),
      gain(`model.layers.${layer}.post_attention_layernorm.weight`),
      ...moduleNames.map((module) => {
        const [input, output] = moduleDims(shape, module);
        return matrix(`model.layers.${layer}.${modulePaths[module]}.weight`, output, input, 0.3);
      }),
      ...moduleNames
        .filter((module) => hasBias(shape, module))
        .map((module) => {
          const [, output] = moduleDims(shape, module);
          const name = `model.layers.${layer}.${modulePaths[module]}.bias`;
          return { name, dtype: 'F32' as const, shape: [output], data: deviates(random, output, 0.3) };
        }),
    ]).flat(),
  ];
}

export function deviates(random: Random, count: number, scale: number): Float32Array {
  return Float32Array.from({ length: count }, () => random.normal() * scale);
}

const common = {
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 16,
  hidden_act: 'silu',
  vocab_size: 257,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  bos_token_id: null,
  eos_token_id: 0,
} as const;
const rope = (type: string, fields: object = {}) => ({ rope_type: type, rope_theta: 500, ...fields });

/** Tokens that a query of the random Mistral sees. */
export const randomWindow = 24;

/** config.json of random models that each have something which a plain Llama has not. */
export const randomConfigs = {
  qwen2: {
    ...common,
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    // llama.cpp knows no Qwen2 whose heads are wider together than its hidden size.
    num_attention_heads: 4,
    num_key_value_heads: 2,
    tie_word_embeddings: false,
    use_sliding_window: false,
    rope_parameters: rope('default'),
  },
  mistral: {
    ...common,
    architectures: ['MistralForCausalLM'],
    model_type: 'mistral',
    sliding_window: randomWindow,
    rope_parameters: rope('default'),
  },
  llama3: {
    ...common,
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    rope_parameters: rope('llama3', {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    }),
  },
  yarn: {
    ...common,
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    rope_parameters: rope('yarn', { factor: 4, original_max_position_embeddings: 32 }),
  },
} as const;
export type RandomModel = keyof typeof randomConfigs;

/** Rank of the random super-adapters; every product is doubled. */
const [RANK, ALPHA] = [8, 16];

/**
 * Writes a random model with a tokenizer of single bytes, and a PEFT LoRA for it: `base` and `adapter`
 * below `folder`. Equal names give equal files.
 */
export async function writeRandomModel(
  folder: string,
  name: RandomModel,
): Promise<{ readonly base: string; readonly adapter: string }> {
  const config = randomConfigs[name];
  const { shape } = parseModelConfig(config);
  const random = createRandom(Object.keys(randomConfigs).indexOf(name) + 1);
  const [base, adapter] = [join(folder, 'base'), join(folder, 'adapter')];
  const put = async (path: string, value: unknown): Promise<void> =>
    writeFile(path, value instanceof Uint8Array ? value : JSON.stringify(value));
  const pack = (tensors: readonly TensorToWrite[]): Uint8Array =>
    encodeTensorFile(tensors, { format: 'pt' }, { alignment: 'none' });
  for (const path of [base, adapter]) await mkdir(path, { recursive: true });
  await put(join(base, 'config.json'), config);
  await put(join(base, 'tokenizer.json'), tinyTokenizer());
  // Halves, as most models are published: an export in f16 is then the same model.
  const weights = huggingFaceTensors(shape, random).map((tensor) => ({ ...tensor, dtype: 'F16' as const }));
  await put(join(base, 'model.safetensors'), pack(weights));
  await put(join(adapter, 'adapter_config.json'), {
    ...{ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: RANK, lora_alpha: ALPHA, bias: 'none' },
    target_modules: moduleNames.map((module) => modulePaths[module].split('.')[1]),
  });
  const factors = Array.from({ length: shape.layers }, (_, layer) =>
    moduleNames.flatMap((module): TensorToWrite[] => {
      const [input, output] = moduleDims(shape, module);
      const path = `base_model.model.model.layers.${layer}.${modulePaths[module]}`;
      return [
        factor(`${path}.lora_A.weight`, [RANK, input], random),
        factor(`${path}.lora_B.weight`, [output, RANK], random),
      ];
    }),
  ).flat();
  await put(join(adapter, 'adapter_model.safetensors'), pack(factors));
  return { base, adapter };
}

function factor(name: string, shape: readonly [number, number], random: Random): TensorToWrite {
  return { name, dtype: 'F32', shape, data: deviates(random, shape[0] * shape[1], 0.1) };
}
