import { attend, dot, rmsNorm, rotate } from './plain-llama.js';

type Values = ArrayLike<number>;
/** Matrices [out, in] and vectors by their names in a Hugging Face model. */
export type HfWeights = ReadonlyMap<string, Values>;

/** What a config.json says of the arithmetic of a model without scaled rotary positions. */
export interface HfConfig {
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly vocab_size: number;
  readonly rms_norm_eps: number;
  readonly tie_word_embeddings: boolean;
  readonly rope_parameters: { readonly rope_type: string; readonly rope_theta: number };
  readonly sliding_window?: number | null;
}

/** Which values of a head turn by one angle: those half a head apart, or, in llama.cpp, neighbours. */
export type Pairing = 'halves' | 'neighbours';

/**
 * Logits [ids.length][vocab] of a model as stock tools know it, written down plainly in double
 * precision: nothing of our layout, our graphs or our readers is in it.
 * @source transformers modeling_llama.py, modeling_mistral.py and modeling_qwen2.py
 */
export function hfLogits(
  config: HfConfig,
  weights: HfWeights,
  ids: ArrayLike<number>,
  pairing: Pairing = 'halves',
): Float64Array[] {
  const { hidden_size: hidden, intermediate_size: ffn, head_dim: headDim, sliding_window: window } = config;
  const shape = {
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headDim,
    rmsEpsilon: config.rms_norm_eps,
    ropeTheta: config.rope_parameters.rope_theta,
    ...(typeof window === 'number' && { slidingWindow: window }),
  };
  const tensor = (name: string, length: number): Values => {
    const found = weights.get(name);
    if (found?.length !== length)
      throw new Error(`"${name}" has ${found?.length} values, the config wants ${length}`);
    return found;
  };
  const linear = (name: string, x: Float64Array, rows: number): Float64Array => {
    const matrix = tensor(`${name}.weight`, rows * x.length);
    const bias = weights.has(`${name}.bias`) ? tensor(`${name}.bias`, rows) : null;
    return Float64Array.from({ length: rows }, (_, row) => {
      let sum = bias?.[row] ?? 0;
      for (let i = 0; i < x.length; i++) sum += (matrix[row * x.length + i] as number) * (x[i] as number);
      return sum;
    });
  };
  const turn = (x: Float64Array, position: number): Float64Array =>
    rotate(pairing === 'halves' ? x : neighboursToHalves(x, headDim), position, shape);
  const add = (a: Float64Array, b: Float64Array): Float64Array =>
    a.map((value, i) => value + (b[i] as number));

  const embed = tensor('model.embed_tokens.weight', config.vocab_size * hidden);
  let x: Float64Array[] = Array.from(ids, (id) =>
    Float64Array.from({ length: hidden }, (_, i) => embed[id * hidden + i] as number),
  );
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = `model.layers.${layer}`;
    const input = tensor(`${at}.input_layernorm.weight`, hidden);
    const post = tensor(`${at}.post_attention_layernorm.weight`, hidden);
    const normed = x.map((one) => rmsNorm(one, input, shape));
    const project = (name: string, heads: number): Float64Array[] =>
      normed.map((one) => linear(`${at}.self_attn.${name}`, one, heads * headDim));
    const q = project('q_proj', shape.heads).map(turn);
    const k = project('k_proj', shape.kvHeads).map(turn);
    const v = project('v_proj', shape.kvHeads);
    x = x.map((one, position) =>
      add(
        one,
        linear(`${at}.self_attn.o_proj`, attend(q[position] as Float64Array, k, v, position, shape), hidden),
      ),
    );
    x = x.map((one) => {
      const normal = rmsNorm(one, post, shape);
      const up = linear(`${at}.mlp.up_proj`, normal, ffn);
      const gate = linear(`${at}.mlp.gate_proj`, normal, ffn);
      const active = gate.map((g, channel) => (g / (1 + Math.exp(-g))) * (up[channel] as number));
      return add(one, linear(`${at}.mlp.down_proj`, active, hidden));
    });
  }
  const norm = tensor('model.norm.weight', hidden);
  const head = Float64Array.from(
    config.tie_word_embeddings ? embed : tensor('lm_head.weight', config.vocab_size * hidden),
  );
  return x.map((one) => {
    const out = rmsNorm(one, norm, shape);
    return Float64Array.from({ length: config.vocab_size }, (_, token) =>
      dot(head.subarray(token * hidden), out),
    );
  });
}

function neighboursToHalves(x: Float64Array, headDim: number): Float64Array {
  return x.map((_, at) => {
    const i = at % headDim;
    const half = headDim / 2;
    return x[at - i + (i < half ? 2 * i : 2 * (i - half) + 1)] as number;
  });
}
