import { createRandom } from '@fleetlora/shared/random';
import { type Dtype, encodeTensorFile, type TensorToWrite } from '@fleetlora/shared/weights';

/** A two-layer Llama of a few thousand weights (FFN of 8 channels), with a tokenizer of single bytes. */
export const tinyConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  hidden_size: 32,
  intermediate_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  vocab_size: 257,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
  eos_token_id: 0,
} as const;

const modules = {
  'self_attn.q_proj': [32, 32],
  'self_attn.k_proj': [16, 32],
  'self_attn.v_proj': [16, 32],
  'self_attn.o_proj': [32, 32],
  'mlp.gate_proj': [8, 32],
  'mlp.up_proj': [8, 32],
  'mlp.down_proj': [32, 8],
} as const;

const deviates = (count: number, scale: number, seed: number): Float32Array => {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random.normal() * scale);
};

/** Tensors of the model's safetensors file under their Hugging Face names. */
export function tinyTensors(dtype: Dtype = 'F32', seed = 1): TensorToWrite[] {
  let next = seed * 1000;
  const tensor = (name: string, shape: readonly number[], scale = 0.5): TensorToWrite => ({
    name,
    dtype,
    shape,
    data: deviates(
      shape.reduce((a, b) => a * b, 1),
      scale,
      next++,
    ),
  });
  const ones = (name: string): TensorToWrite => ({
    name,
    dtype,
    shape: [32],
    data: new Float32Array(32).fill(1),
  });
  return [
    tensor('model.embed_tokens.weight', [257, 32]),
    ones('model.norm.weight'),
    ...[0, 1].flatMap((layer) => [
      ones(`model.layers.${layer}.input_layernorm.weight`),
      ones(`model.layers.${layer}.post_attention_layernorm.weight`),
      ...Object.entries(modules).map(([path, shape]) =>
        tensor(`model.layers.${layer}.${path}.weight`, shape),
      ),
    ]),
  ];
}

export function tinyModelFile(dtype: Dtype = 'F32', seed = 1): Uint8Array {
  return encodeTensorFile(tinyTensors(dtype, seed), { format: 'pt' }, { alignment: 'none' });
}

/** adapter_config.json of a PEFT LoRA on all seven modules. */
export function tinyPeftConfig(rank = 4, alpha = 8): Record<string, unknown> {
  return {
    peft_type: 'LORA',
    r: rank,
    lora_alpha: alpha,
    bias: 'none',
    fan_in_fan_out: false,
    target_modules: Object.keys(modules).map((path) => path.split('.')[1]),
    rank_pattern: {},
    alpha_pattern: {},
  };
}

/** Tensors of the adapter_model.safetensors that goes with `tinyPeftConfig`. */
export function tinyPeftTensors(rank = 4, seed = 7): TensorToWrite[] {
  let next = seed * 1000;
  return [0, 1].flatMap((layer) =>
    Object.entries(modules).flatMap(([path, [output, input]]): TensorToWrite[] => {
      const name = `base_model.model.model.layers.${layer}.${path}`;
      return [
        {
          name: `${name}.lora_A.weight`,
          dtype: 'F16',
          shape: [rank, input],
          data: deviates(rank * input, 0.2, next++),
        },
        {
          name: `${name}.lora_B.weight`,
          dtype: 'F16',
          shape: [output, rank],
          data: deviates(rank * output, 0.2, next++),
        },
      ];
    }),
  );
}

export function tinyPeftFile(rank = 4, seed = 7): Uint8Array {
  return encodeTensorFile(tinyPeftTensors(rank, seed), { format: 'pt' }, { alignment: 'none' });
}

/** A tokenizer.json whose tokens are the end token, id 0, and every byte b below `bytes` with id b + 1. */
export function tinyTokenizer(bytes = 256): Record<string, unknown> {
  const vocab: Record<string, number> = { '<|end|>': 0 };
  byteCharacters()
    .slice(0, bytes)
    .forEach((character, byte) => {
      vocab[character] = byte + 1;
    });
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    added_tokens: [
      {
        id: 0,
        content: '<|end|>',
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', unk_token: null, vocab, merges: [] },
  };
}

/**
 * The printable character that byte-level BPE writes for each byte: itself where it is printable,
 * else the next free one from U+0100 on.
 * @source GPT-2 encoder.py bytes_to_unicode
 */
function byteCharacters(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let free = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : free++));
}
