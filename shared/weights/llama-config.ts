import { CodedError } from '../errors.js';
import type { ModelShape } from '../graph/model-shape.js';

/** What a base import needs from a Hugging Face config.json. */
export interface LlamaConfig {
  readonly shape: ModelShape;
  /** Tokens that end a text; the first one is what training appends. */
  readonly stopIds: readonly number[];
}

/** Far above any model this can run, low enough that products of two sizes stay exact. */
const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 128;
/** ONNX Runtime's GroupQueryAttention kernel takes heads of whole steps only. */
const HEAD_STEP = 16;

type Fields = Readonly<Record<string, unknown>>;
const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const quote = (value: unknown): string => (JSON.stringify(value) ?? 'missing').slice(0, 80);
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

/**
 * Reads the config.json of a Llama model.
 * @param value parsed config.json
 * @param generation parsed generation_config.json, whose end tokens are added
 * @throws UNSUPPORTED_ARCHITECTURE for a model that would be computed wrongly, MODEL_CONFIG for a
 *   number that is missing or impossible
 * @source transformers LlamaConfig, version 5.17, and its older spellings (rope_theta, rope_scaling)
 */
export function parseLlamaConfig(value: unknown, generation?: unknown): LlamaConfig {
  if (!isRecord(value))
    throw new CodedError('MODEL_CONFIG', `config.json is ${quote(value)}, wanted an object`);
  checkArchitecture(value);
  const rope = isRecord(value.rope_parameters) ? value.rope_parameters : value;
  const vocab = size(value, 'vocab_size');
  const hidden = size(value, 'hidden_size');
  const heads = size(value, 'num_attention_heads');
  const shape: ModelShape = {
    architecture: 'llama',
    layers: size(value, 'num_hidden_layers', undefined, MAX_LAYERS),
    hidden,
    heads,
    kvHeads: size(value, 'num_key_value_heads', heads),
    headDim: size(value, 'head_dim', hidden / heads),
    ffnWidth: size(value, 'intermediate_size'),
    vocab,
    positions: size(value, 'max_position_embeddings', 2048),
    rmsEpsilon: positive(value, 'rms_norm_eps', 1e-6),
    ropeTheta: positive(rope, 'rope_theta', 10000),
    tiedHead: value.tie_word_embeddings === true,
  };
  if (shape.heads % shape.kvHeads !== 0)
    throw broken('num_key_value_heads', shape.kvHeads, `a divisor of the ${shape.heads} heads`);
  if (shape.headDim % HEAD_STEP !== 0)
    throw unsupported('head_dim', shape.headDim, `a multiple of ${HEAD_STEP}`);
  return { shape, stopIds: readStopIds(value, generation, vocab) };
}

/** Everything that would change the arithmetic must be what our graphs compute. */
function checkArchitecture(value: Fields): void {
  const name = Array.isArray(value.architectures) ? value.architectures[0] : value.model_type;
  if (name !== 'LlamaForCausalLM' && name !== 'llama')
    throw unsupported('architectures', name, 'LlamaForCausalLM');
  const activation = value.hidden_act ?? 'silu';
  if (activation !== 'silu') throw unsupported('hidden_act', activation, 'silu');
  for (const bias of ['attention_bias', 'mlp_bias']) {
    if (value[bias]) throw unsupported(bias, value[bias], 'false');
  }
  if (value.rope_scaling) throw unsupported('rope_scaling', value.rope_scaling, 'null');
  if (isRecord(value.rope_parameters)) {
    const type = value.rope_parameters.rope_type ?? 'default';
    if (type !== 'default') throw unsupported('rope_parameters.rope_type', type, 'default');
  }
  const rotary = value.partial_rotary_factor ?? 1;
  if (rotary !== 1) throw unsupported('partial_rotary_factor', rotary, '1');
  if (value.quantization_config)
    throw unsupported('quantization_config', value.quantization_config, 'weights in fp16, bf16 or fp32');
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
