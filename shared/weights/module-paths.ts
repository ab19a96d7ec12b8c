import type { ModuleName } from '../graph/model-shape.js';

/** Path of a linear module below `model.layers.{i}.` in Hugging Face's Llama. */
export const modulePaths = {
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  o: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
} as const satisfies Record<ModuleName, string>;
