import { join } from 'node:path';
import { type ChatTemplateSource, writeGgufTokenizer } from '@fleetlora/shared/text';
import { createBufferSink, type GgufFields, readFloats, writeGguf } from '@fleetlora/shared/weights';
import { hfModels, openHfTensors, readJsonFile } from './hf-models.js';
import { tinyTokenizer } from './tiny-llama.js';

export interface PlainTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A GGUF file of F32 tensors. */
export async function encodeGguf(fields: GgufFields, tensors: readonly PlainTensor[]): Promise<Uint8Array> {
  const sink = createBufferSink();
  await writeGguf(
    sink,
    fields,
    tensors.map(({ name, shape, values }) => ({
      name,
      shape,
      dtype: 'F32',
      async *read() {
        yield values;
      },
    })),
  );
  return sink.bytes();
}

/** The fields of a config.json that a GGUF file says too. */
interface HfConfig {
  readonly model_type: string;
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim?: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly sliding_window?: number | null;
  readonly rope_parameters: {
    readonly rope_type: string;
    readonly rope_theta: number;
    readonly factor: number;
    readonly low_freq_factor: number;
    readonly high_freq_factor: number;
    readonly original_max_position_embeddings: number;
  };
}

/** Parts of Hugging Face names and what they are in a GGUF file. @source llama.cpp, tensor_mapping.py */
const nameParts: readonly (readonly [string, string])[] = [
  ['model.embed_tokens.', 'token_embd.'],
  ['lm_head.', 'output.'],
  ['model.norm.', 'output_norm.'],
  ['model.layers.', 'blk.'],
  ['input_layernorm.', 'attn_norm.'],
  ['post_attention_layernorm.', 'ffn_norm.'],
  ['self_attn.q_proj.', 'attn_q.'],
  ['self_attn.k_proj.', 'attn_k.'],
  ['self_attn.v_proj.', 'attn_v.'],
  ['self_attn.o_proj.', 'attn_output.'],
  ['mlp.gate_proj.', 'ffn_gate.'],
  ['mlp.up_proj.', 'ffn_up.'],
  ['mlp.down_proj.', 'ffn_down.'],
];

/** Tokens of `tinyTokenizer` in the models of hf-models, whose embeddings have one row more. */
const TOKENIZER_BYTES = 60;

/**
 * A model of hf-models as llama.cpp's converter writes it, in F32, with the tokenizer of single
 * bytes `tinyTokenizer(60)`.
 */
export async function hfModelAsGguf(name: string, chat: ChatTemplateSource | null = null) {
  const folder = join(hfModels, name);
  const config = (await readJsonFile(join(folder, 'config.json'))) as HfConfig;
  const family = config.model_type === 'qwen2' ? 'qwen2' : 'llama';
  const tensors: PlainTensor[] = [];
  for (const [hfName, { file, entry }] of await openHfTensors(folder)) {
    const values = await readFloats(file, hfName);
    const turned = family === 'llama' && /self_attn\.[qk]_proj/.test(hfName);
    tensors.push({
      name: nameParts.reduce((text, [from, to]) => text.replace(from, to), hfName),
      shape: entry.shape,
      values: turned ? interleave(values, headDimOf(config), entry.shape[1] ?? 1) : values,
    });
  }
  if (config.rope_parameters.rope_type === 'llama3') tensors.push(llama3Factors(config));
  const tokenizer = writeGgufTokenizer(tinyTokenizer(TOKENIZER_BYTES), { vocab: 61, stopIds: [0], chat });
  return encodeGguf({ ...fieldsOf(config, family), ...tokenizer }, tensors);
}

const headDimOf = (config: HfConfig): number =>
  config.head_dim ?? config.hidden_size / config.num_attention_heads;

function fieldsOf(config: HfConfig, family: string): GgufFields {
  const { rope_parameters: rope } = config;
  const scaling: GgufFields =
    rope.rope_type === 'linear' || rope.rope_type === 'yarn'
      ? {
          'rope.scaling.type': { text: rope.rope_type },
          'rope.scaling.factor': { f32: rope.factor },
          ...(rope.rope_type === 'yarn' && {
            'rope.scaling.original_context_length': { u32: rope.original_max_position_embeddings },
          }),
        }
      : {};
  const own: GgufFields = {
    block_count: { u32: config.num_hidden_layers },
    context_length: { u32: config.max_position_embeddings },
    embedding_length: { u32: config.hidden_size },
    feed_forward_length: { u32: config.intermediate_size },
    'attention.head_count': { u32: config.num_attention_heads },
    'attention.head_count_kv': { u32: config.num_key_value_heads },
    'attention.key_length': { u32: headDimOf(config) },
    'attention.value_length': { u32: headDimOf(config) },
    'attention.layer_norm_rms_epsilon': { f32: config.rms_norm_eps },
    'rope.dimension_count': { u32: headDimOf(config) },
    'rope.freq_base': { f32: rope.rope_theta },
    ...(config.model_type === 'mistral' && {
      'attention.sliding_window': { u32: config.sliding_window ?? 0 },
    }),
    ...scaling,
  };
  return {
    'general.architecture': { text: family },
    ...Object.fromEntries(Object.entries(own).map(([key, field]) => [`${family}.${key}`, field])),
  };
}

/** Rows of a head: those that are turned together side by side. @source convert_hf_to_gguf.py, LlamaModel.permute */
function interleave(values: Float32Array, headDim: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  const half = headDim / 2;
  for (let head = 0; head < values.length / (headDim * columns); head++)
    for (let pair = 0; pair < half; pair++)
      for (const side of [0, 1]) {
        const from = head * headDim + side * half + pair;
        const to = head * headDim + 2 * pair + side;
        out.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
      }
  return out;
}

/** What each frequency is divided by. @source convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors */
function llama3Factors(config: HfConfig): PlainTensor {
  const { rope_theta: theta, factor, ...bounds } = config.rope_parameters;
  const headDim = headDimOf(config);
  const longest = bounds.original_max_position_embeddings / bounds.low_freq_factor;
  const shortest = bounds.original_max_position_embeddings / bounds.high_freq_factor;
  const values = Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wave = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wave < shortest) return 1;
    if (wave > longest) return factor;
    const smooth =
      (bounds.original_max_position_embeddings / wave - bounds.low_freq_factor) /
      (bounds.high_freq_factor - bounds.low_freq_factor);
    return 1 / ((1 - smooth) / factor + smooth);
  });
  return { name: 'rope_freqs.weight', shape: [headDim / 2], values };
}
