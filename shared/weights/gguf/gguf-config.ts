import { CodedError } from '../../errors.js';
import type { ModelShape } from '../../graph/model-shape.js';
import { parseModelConfig } from '../model-config.js';
import type { ModelConfig } from '../model-source.js';
import { quoteValue } from '../quote-value.js';
import { type RopeScaling, ropeFrequencies } from '../rope-scaling.js';
import type { GgufValue } from './head-reader.js';
import type { GgufFile } from './read-gguf.js';
import { readGgufRows, requireGgufTensor } from './read-gguf-rows.js';

/** Factors of the rotary frequencies, which Llama 3.1 and later models bring as a tensor. */
export const ropeFactorsName = 'rope_freqs.weight';
const architectures: Readonly<Record<string, string>> = {
  llama: 'LlamaForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
};

/**
 * The config of the model in a GGUF file.
 * @param stopIds tokens that end a text
 * @throws UNSUPPORTED_ARCHITECTURE for a model that would be computed wrongly, MODEL_CONFIG for a
 *   number that is missing or impossible, WEIGHT_MISSING without an embedding
 * @source GGUF specification, "Standardized key-value pairs"; llama.cpp, llama-arch.cpp
 */
export async function readGgufConfig(file: GgufFile, stopIds: readonly number[]): Promise<ModelConfig> {
  const { metadata } = file;
  const name = metadata.get('general.architecture');
  const architecture =
    typeof name === 'string' && Object.hasOwn(architectures, name) ? architectures[name] : undefined;
  if (architecture === undefined)
    throw unsupported('general.architecture', name, Object.keys(architectures).join(' or '));
  const keys = keysOf(metadata, String(name));
  refuseOtherArithmetic(keys);
  const hidden = keys.number('embedding_length');
  const heads = keys.number('attention.head_count');
  const headDim = keys.number('attention.key_length', keys.number('rope.dimension_count', hidden / heads));
  for (const key of ['attention.value_length', 'rope.dimension_count'])
    if (keys.number(key, headDim) !== headDim)
      throw unsupported(keys.name(key), keys.number(key), `the ${headDim} of every head`);
  // Mistral's files say llama too; what tells them apart is a window, where they have one.
  const window = keys.number('attention.sliding_window', 0);
  if (window !== 0 && name !== 'llama')
    throw unsupported(keys.name('attention.sliding_window'), window, 'no window');
  const config = {
    architectures: [window === 0 ? architecture : 'MistralForCausalLM'],
    ...(window !== 0 && { sliding_window: window }),
    num_hidden_layers: keys.number('block_count'),
    hidden_size: hidden,
    num_attention_heads: heads,
    num_key_value_heads: keys.number('attention.head_count_kv', heads),
    head_dim: headDim,
    intermediate_size: keys.number('feed_forward_length'),
    vocab_size: file.tensors.get('token_embd.weight')?.shape[0],
    max_position_embeddings: keys.number('context_length'),
    rms_norm_eps: shortest(keys.number('attention.layer_norm_rms_epsilon')),
    rope_theta: shortest(keys.number('rope.freq_base', 10000)),
    rope_scaling: scalingOf(keys),
    tie_word_embeddings: !file.tensors.has('output.weight'),
    eos_token_id: stopIds,
  };
  if (config.vocab_size === undefined)
    throw new CodedError('WEIGHT_MISSING', 'GGUF file has no tensor "token_embd.weight"');
  const parsed = parseConfig(config);
  const factors = await ropeFactors(file, parsed.shape);
  if (factors === null) return parsed;
  const { ropeScaling } = parsed.shape;
  if (ropeScaling !== undefined)
    throw unsupported(
      keys.name('rope.scaling.type'),
      String(ropeScaling.rope_type),
      `none beside the tensor "${ropeFactorsName}"`,
    );
  return { ...parsed, shape: { ...parsed.shape, ropeScaling: { ...factors } } };
}

/** Its errors speak of a config.json, which is what the metadata were turned into. */
function parseConfig(config: Readonly<Record<string, unknown>>): ModelConfig {
  try {
    return parseModelConfig(config);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new CodedError(cause.code, `GGUF metadata as config.json: ${cause.message}`, { cause });
  }
}

/** Metadata of the architecture, by the part of the key behind its name. */
interface Keys {
  name(key: string): string;
  get(key: string): GgufValue | undefined;
  /** @throws MODEL_CONFIG when it is no number, or is missing without a fallback */
  number(key: string, fallback?: number): number;
}

function keysOf(metadata: ReadonlyMap<string, GgufValue>, architecture: string): Keys {
  const name = (key: string): string => `${architecture}.${key}`;
  const get = (key: string): GgufValue | undefined => metadata.get(name(key));
  return {
    name,
    get,
    number(key, fallback) {
      // A list says so of every layer, and models of unequal layers are not read.
      const found = uniform(get(key)) ?? fallback;
      if (typeof found !== 'number')
        throw new CodedError(
          'MODEL_CONFIG',
          `GGUF metadata "${name(key)}" is ${shown(get(key))}, wanted a number, the same in every layer`,
        );
      return found;
    },
  };
}

function uniform(value: GgufValue | undefined): GgufValue | undefined {
  if (!(value instanceof Int32Array || value instanceof Uint32Array)) return value;
  const [first] = value;
  return value.every((one) => one === first) ? first : value;
}

/** Everything that would change the arithmetic must be what our graphs compute. */
function refuseOtherArithmetic(keys: Keys): void {
  if (keys.number('expert_count', 0) !== 0)
    throw unsupported(keys.name('expert_count'), keys.get('expert_count'), 'no experts');
  const layout = keys.get('tensor_data_layout');
  if (layout !== undefined && layout !== 'Meta AI original pth')
    throw unsupported(keys.name('tensor_data_layout'), layout, 'rows of q and k as llama.cpp orders them');
  if (keys.get('attention.causal') === false)
    throw unsupported(keys.name('attention.causal'), false, 'a model that sees no later token');
  // Of other models that share the name: scales of the embedding, the residuals or the logits, and of yarn.
  const scales = ['embedding_scale', 'residual_scale', 'logit_scale', 'attention.scale'];
  for (const key of [...scales, 'rope.scaling.yarn_log_multiplier'])
    if (keys.get(key) !== undefined && keys.get(key) !== 0)
      throw unsupported(keys.name(key), keys.get(key), 'no such scale');
}

/** As transformers spells it; null for none. */
function scalingOf(keys: Keys): Readonly<Record<string, unknown>> | null {
  // A factor alone means linear to llama.cpp, and so does no factor, which is then 1.
  const type = keys.get('rope.scaling.type') ?? 'linear';
  const factor = keys.number('rope.scaling.factor', keys.number('rope.scale_linear', 0)) || 1;
  if (type === 'none' || (type === 'linear' && factor === 1)) return null;
  if (type !== 'yarn') return { rope_type: type, factor: shortest(factor) };
  const ofAttention = keys.number('rope.scaling.attn_factor', 1);
  return {
    rope_type: type,
    factor: shortest(factor),
    original_max_position_embeddings: keys.number(
      'rope.scaling.original_context_length',
      keys.number('context_length'),
    ),
    ...(ofAttention !== 1 && { attention_factor: ofAttention * (0.1 * Math.log(factor) + 1) }),
    ...(keys.get('rope.scaling.yarn_beta_fast') !== undefined && {
      beta_fast: keys.number('rope.scaling.yarn_beta_fast'),
    }),
    ...(keys.get('rope.scaling.yarn_beta_slow') !== undefined && {
      beta_slow: keys.number('rope.scaling.yarn_beta_slow'),
    }),
  };
}

/** What Llama 3.1, 3.2 and 3.3 were trained with. @source their config.json */
const llama3Bounds = {
  rope_type: 'llama3',
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
} as const;

/**
 * The scaling that a tensor of factors stands for: recognised as Llama 3's where it is that, so that
 * it can be written as a config again; null where there is none.
 */
async function ropeFactors(file: GgufFile, shape: ModelShape): Promise<RopeScaling | null> {
  if (!file.tensors.has(ropeFactorsName)) return null;
  const half = shape.headDim / 2;
  const tensor = requireGgufTensor(file, ropeFactorsName, [half]);
  const factors = await readGgufRows(file, tensor, 0, half);
  const exact: RopeScaling = { rope_type: 'factors', factors: [...factors] };
  const given = ropeFrequencies(shape.headDim, shape.ropeTheta, exact).frequencies;
  const llama3: RopeScaling = { ...llama3Bounds, factor: Math.max(...factors) };
  const computed = ropeFrequencies(shape.headDim, shape.ropeTheta, llama3).frequencies;
  const isSame = given.every((frequency, i) => Math.abs((computed[i] as number) / frequency - 1) < 1e-5);
  return isSame ? llama3 : exact;
}

/** The shortest decimal of an F32: 9.99999974e-6 was 1e-5 once. */
function shortest(value: number): number {
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

const shown = (value: GgufValue | undefined): string =>
  ArrayBuffer.isView(value) ? `a list of ${value.length} numbers` : quoteValue(value);

function unsupported(key: string, found: GgufValue | undefined, wanted: string): CodedError {
  return new CodedError(
    'UNSUPPORTED_ARCHITECTURE',
    `GGUF metadata "${key}" is ${shown(found)}, wanted ${wanted}`,
  );
}
