import type { GgufValue } from '@fleetlora/shared/weights';
import type { HfConfig, HfWeights, Pairing } from './plain-hf.js';

/** What is in a GGUF file, its tensors widened. */
export interface GgufContent {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly values: ReadonlyMap<string, Float32Array>;
}

/** Names below `blk.i.` and those of the same tensors in a Hugging Face model. */
const parts: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};
const others: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output.weight': 'lm_head.weight',
  'output_norm.weight': 'model.norm.weight',
};

function hfName(name: string): string {
  const [, layer, part = '', kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const found =
    layer === undefined ? others[name] : parts[part] && `model.layers.${layer}.${parts[part]}.${kind}`;
  if (!found) throw new Error(`llama.cpp knows no tensor "${name}" of a Llama or Qwen2`);
  return found;
}

/**
 * A GGUF model as llama.cpp computes it, for `hfLogits`: its rows of q and k stay as they lie in the
 * file, and turn in pairs of neighbours where the architecture is "llama".
 * @param lora whose factors are added: alpha / rank · B·A, rank being that of each tensor
 * @source llama.cpp, llama-model.cpp (rope_type of each architecture), llama-adapter.h (get_scale)
 */
export function plainGguf(
  { metadata, values }: GgufContent,
  lora: GgufContent | null,
): { config: HfConfig; weights: HfWeights; pairing: Pairing } {
  const architecture = String(metadata.get('general.architecture'));
  const number = (key: string): number => {
    const found = metadata.get(`${architecture}.${key}`);
    if (typeof found !== 'number') throw new Error(`${architecture}.${key} is ${found}`);
    return found;
  };
  const sums = new Map<string, ArrayLike<number>>(values);
  const alpha = Number(lora?.metadata.get('adapter.lora.alpha'));
  for (const [name, a] of lora?.values ?? []) {
    if (!name.endsWith('.lora_a')) continue;
    const target = name.slice(0, -'.lora_a'.length);
    const [weight, b] = [values.get(target), lora?.values.get(`${target}.lora_b`)];
    if (!weight || !b) throw new Error(`"${name}" has no "${target}" or no other factor`);
    const rank = Math.sqrt((a.length * b.length) / weight.length);
    const input = a.length / rank;
    sums.set(
      target,
      Float64Array.from(weight, (value, at) => {
        const [row, column] = [Math.floor(at / input), at % input];
        let sum = 0;
        for (let r = 0; r < rank; r++)
          sum += (b[row * rank + r] as number) * (a[r * input + column] as number);
        return value + (alpha / rank) * sum;
      }),
    );
  }
  return {
    config: {
      num_hidden_layers: number('block_count'),
      hidden_size: number('embedding_length'),
      intermediate_size: number('feed_forward_length'),
      num_attention_heads: number('attention.head_count'),
      num_key_value_heads: number('attention.head_count_kv'),
      head_dim: number('attention.key_length'),
      vocab_size: number('vocab_size'),
      rms_norm_eps: number('attention.layer_norm_rms_epsilon'),
      tie_word_embeddings: !values.has('output.weight'),
      rope_parameters: { rope_type: 'default', rope_theta: number('rope.freq_base') },
    },
    weights: new Map([...sums].map(([name, value]) => [hfName(name), value])),
    pairing: architecture === 'llama' ? 'neighbours' : 'halves',
  };
}
