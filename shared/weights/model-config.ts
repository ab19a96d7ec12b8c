import { CodedError } from '../errors.js';
import type { Architecture, ModelShape } from '../graph/model-shape.js';
import type { ModelConfig } from './model-source.js';
import { quoteValue as quote } from './quote-value.js';
import { parseRopeScaling } from './rope-scaling.js';

/** Far above any model this can run, low enough that products of two sizes stay exact. */
const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 128;
/** Two tables of 4 bytes a position and half dimension: no weights stand behind this number. */
const MAX_POSITIONS = 2 ** 20;
/** ONNX Runtime's GroupQueryAttention kernel takes heads of whole steps only. */
const HEAD_STEP = 16;

type Fields = Readonly<Record<string, unknown>>;
const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const unsupported = (what: string, found: unknown, wanted: string): CodedError =>
  new CodedError('UNSUPPORTED_ARCHITECTURE', `config.json has ${what} = ${quote(found)}, wanted ${wanted}`);
const broken = (what: string, found: unknown, wanted: string): CodedError =>
  new CodedError('MODEL_CONFIG', `config.json has ${what} = ${quote(found)}, wanted ${wanted}`);

function size(fields: Fields, name: string, fallback?: number, ceiling = MAX_SIZE): number {
  const found = fields[name] ?? fallback;
  if (!Number.isInteger(found) || (found as number) < 1 || (found as number) > ceiling)
    throw broken(name, found, `a whole number from 1 to ${ceiling}`);
  return found as number;
}

function positive(fields: Fields, name: string, fallback: number): number {
  const found = fields[name] ?? fallback;
  if (typeof found !== 'number' || !Number.isFinite(found) || found <= 0)
    throw broken(name, found, 'a positive number');
  return found;
}

/** What transformers assumes of a family where a config does not say. */
interface Family {
  readonly architecture: Architecture;
  readonly positions: number;
  /** Null: as many as there are heads. */
  readonly kvHeads: number | null;
}
const families: Readonly<Record<string, Family>> = {
  LlamaForCausalLM: { architecture: 'llama', positions: 2048, kvHeads: null },
  MistralForCausalLM: { architecture: 'mistral', positions: 131072, kvHeads: 8 },
  Qwen2ForCausalLM: { architecture: 'qwen2', positions: 32768, kvHeads: 32 },
};
/** Of a config that names its `model_type` alone. */
const familyOfType: Readonly<Record<string, string>> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
};
/** Mistral's window where its config is silent. */
const DEFAULT_WINDOW = 4096;

/**
 * Reads the config.json of a Llama, Mistral or Qwen2 model.
 * @param value parsed config.json
 * @param generation parsed generation_config.json, whose end tokens are added
 * @throws UNSUPPORTED_ARCHITECTURE for a model that would be computed wrongly, MODEL_CONFIG for a
 *   number that is missing or impossible
 * @source transformers LlamaConfig, MistralConfig and Qwen2Config, version 5.17, and their older
 *   spellings (rope_theta, rope_scaling)
 */
export function parseModelConfig(value: unknown, generation?: unknown): ModelConfig {
  if (!isRecord(value))
    throw new CodedError('MODEL_CONFIG', `config.json is ${quote(value)}, wanted an object`);
  const family = familyOf(value);
  checkArithmetic(value);
  const vocab = size(value, 'vocab_size');
  const hidden = size(value, 'hidden_size');
  const heads = size(value, 'num_attention_heads');
  const positions = size(value, 'max_position_embeddings', family.positions, MAX_POSITIONS);
  const rope = ropeOf(value);
  const ropeScaling = parseRopeScaling(rope, positions);
  const slidingWindow = windowOf(value, family);
  const shape: ModelShape = {
    architecture: family.architecture,
    layers: size(value, 'num_hidden_layers', undefined, MAX_LAYERS),
    hidden,
    heads,
    // Transformers takes its default only where the key is missing, and the heads for null.
    kvHeads: size(value, 'num_key_value_heads', kvHeadsOf(value, family, heads)),
    headDim: size(value, 'head_dim', hidden / heads),
    ffnWidth: size(value, 'intermediate_size'),
    vocab,
    positions,
    rmsEpsilon: positive(value, 'rms_norm_eps', 1e-6),
    ropeTheta: positive(rope, 'rope_theta', 10000),
    tiedHead: value.tie_word_embeddings === true,
    ...(family.architecture === 'qwen2' && { qkvBias: true }),
    ...(slidingWindow !== null && { slidingWindow }),
    ...(ropeScaling && { ropeScaling: { ...ropeScaling } }),
  };
  if (shape.heads % shape.kvHeads !== 0)
    throw broken('num_key_value_heads', shape.kvHeads, `a divisor of the ${shape.heads} heads`);
  if (shape.headDim % HEAD_STEP !== 0)
    throw unsupported('head_dim', shape.headDim, `a multiple of ${HEAD_STEP}`);
  return { shape, stopIds: readStopIds(value, generation, vocab) };
}

function familyOf(value: Fields): Family {
  const type = typeof value.model_type === 'string' ? familyOfType[value.model_type] : undefined;
  const name = Array.isArray(value.architectures) ? value.architectures[0] : (type ?? value.model_type);
  const family = typeof name === 'string' && Object.hasOwn(families, name) ? families[name] : undefined;
  if (!family) throw unsupported('architectures', name, Object.keys(families).join(', '));
  return family;
}

function kvHeadsOf(value: Fields, family: Family, heads: number): number {
  return value.num_key_value_heads === null ? heads : (family.kvHeads ?? heads);
}

/** Everything that would change the arithmetic must be what our graphs compute. */
function checkArithmetic(value: Fields): void {
  const activation = value.hidden_act ?? 'silu';
  if (activation !== 'silu') throw unsupported('hidden_act', activation, 'silu');
  for (const bias of ['attention_bias', 'mlp_bias']) {
    if (value[bias]) throw unsupported(bias, value[bias], 'false');
  }
  const rotary = ropeOf(value).partial_rotary_factor ?? value.partial_rotary_factor ?? 1;
  if (rotary !== 1) throw unsupported('partial_rotary_factor', rotary, '1');
  if (value.quantization_config)
    throw unsupported('quantization_config', value.quantization_config, 'weights in fp16, bf16 or fp32');
}

/** What the config says of rotary positions, in the spelling of today; the older one wins, as it does there. */
function ropeOf(value: Fields): Fields {
  const named = [value.rope_scaling, value.rope_parameters].find((found) => found);
  if (named !== undefined && !isRecord(named)) throw broken('rope_parameters', named, 'an object or null');
  const { rope_theta, original_max_position_embeddings: original } = value;
  return {
    ...(rope_theta !== undefined && { rope_theta }),
    ...named,
    ...(original !== undefined && original !== null && { original_max_position_embeddings: original }),
  };
}

/** Tokens that every layer's queries see; null for all. */
function windowOf(value: Fields, { architecture }: Family): number | null {
  // Llama's arithmetic knows no window, whatever its config says.
  if (architecture === 'llama') return null;
  const types = Array.isArray(value.layer_types) ? value.layer_types : [];
  const partly = types.find((type) => type !== 'full_attention');
  if (architecture === 'qwen2') {
    if (partly !== undefined) throw unsupported('layer_types', partly, 'full_attention');
    const from = value.max_window_layers ?? 28;
    const windowed =
      value.use_sliding_window === true &&
      value.sliding_window !== null &&
      types.length === 0 &&
      Number(from) < Number(value.num_hidden_layers);
    if (windowed) throw unsupported('use_sliding_window', true, 'false');
    return null;
  }
  if (types.length > 0) throw unsupported('layer_types', value.layer_types, 'no such list');
  return value.sliding_window === null ? null : size(value, 'sliding_window', DEFAULT_WINDOW);
}

function readStopIds(value: Fields, generation: unknown, vocab: number): number[] {
  const listed = (source: unknown): unknown[] => {
    const found = isRecord(source) ? source.eos_token_id : null;
    return Array.isArray(found) ? found : found === undefined || found === null ? [] : [found];
  };
  const ids = [...new Set([...listed(value), ...listed(generation)])];
  const wrong = ids.find((id) => !Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocab);
  if (ids.length === 0 || wrong !== undefined)
    throw broken('eos_token_id', wrong ?? ids, `token ids from 0 to ${vocab - 1}`);
  return ids as number[];
}
