import { hasBias, type ModelShape, moduleDims, moduleNames } from '../../graph/model-shape.js';
import type { TensorSpec } from '../encode-tensor-file.js';
import { peftPath } from '../peft-record.js';
import { beginTensorFile } from '../tensor-sink.js';
import { type ExportFile, jsonFile } from './export-file.js';
import { type ExportDtype, tensorDtype } from './export-kinds.js';
import { type ExportSource, eachRows } from './export-source.js';

/**
 * model.safetensors of a Hugging Face folder.
 * @param form `merged` adds the adapter
 */
export function hfWeights(
  source: ExportSource,
  form: 'base' | 'merged',
  options: { readonly dtype: ExportDtype; readonly folder: string },
): ExportFile {
  const { shape } = source.cut;
  const { hidden, vocab } = shape;
  const dtype = tensorDtype[options.dtype];
  const specs: TensorSpec[] = [];
  const values: (() => AsyncGenerator<Float32Array>)[] = [];
  const add = (name: string, dims: readonly number[], read: () => AsyncGenerator<Float32Array>): void => {
    specs.push({ name, dtype, shape: dims });
    values.push(read);
  };
  const once = (read: () => Promise<Float32Array>) =>
    async function* () {
      yield await read();
    };
  add('model.embed_tokens.weight', [vocab, hidden], () => eachRows(source, 'embed'));
  if (!shape.tiedHead) add('lm_head.weight', [vocab, hidden], () => eachRows(source, 'head'));
  add(
    'model.norm.weight',
    [hidden],
    once(() => source.norm('norm', 0)),
  );
  for (let layer = 0; layer < shape.layers; layer++) {
    const at = `model.layers.${layer}`;
    add(
      `${at}.input_layernorm.weight`,
      [hidden],
      once(() => source.norm('inputNorm', layer)),
    );
    add(
      `${at}.post_attention_layernorm.weight`,
      [hidden],
      once(() => source.norm('postNorm', layer)),
    );
    for (const module of moduleNames) {
      const [input, output] = moduleDims(shape, module);
      const name = `model.${peftPath(layer, module)}`;
      add(
        `${name}.weight`,
        [output, input],
        once(() => source.matrix(layer, module, form)),
      );
      if (hasBias(shape, module))
        add(
          `${name}.bias`,
          [output],
          once(() => source.bias(layer, module)),
        );
    }
  }
  return {
    path: `${options.folder}model.safetensors`,
    async write(sink) {
      const file = await beginTensorFile(sink, specs, { format: 'pt' }, { alignment: 'none' });
      for (const [index, read] of values.entries())
        for await (const piece of read()) await file.write(specs[index]?.name ?? '', piece);
      await file.end();
    },
  };
}

const families = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
} as const satisfies Record<ModelShape['architecture'], string>;

/**
 * config.json of an exported model.
 * @param stopIds tokens that end a text
 * @source transformers 5.17 LlamaConfig, MistralConfig, Qwen2Config; `rope_theta` and `rope_scaling`
 *   are the spelling of version 4
 */
export function hfConfig(
  shape: ModelShape,
  stopIds: readonly number[],
  dtype: ExportDtype,
): Record<string, unknown> {
  const { architecture } = shape;
  const ropeScaling = hfRope(shape);
  return {
    architectures: [families[architecture]],
    model_type: architecture,
    vocab_size: shape.vocab,
    hidden_size: shape.hidden,
    intermediate_size: shape.ffnWidth,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    hidden_act: 'silu',
    max_position_embeddings: shape.positions,
    rms_norm_eps: shape.rmsEpsilon,
    tie_word_embeddings: shape.tiedHead,
    rope_parameters: { rope_type: 'default', ...ropeScaling, rope_theta: shape.ropeTheta },
    rope_theta: shape.ropeTheta,
    ...(ropeScaling && { rope_scaling: ropeScaling }),
    ...(architecture === 'llama' && { attention_bias: false, mlp_bias: false }),
    ...(architecture === 'mistral' && { sliding_window: shape.slidingWindow ?? null }),
    ...(architecture === 'qwen2' && { use_sliding_window: false }),
    eos_token_id: oneOrAll(stopIds),
    use_cache: true,
    dtype: dtypeNames[dtype],
  };
}

/**
 * A record of factors, which comes from GGUF files, in the one form that configs have for it.
 * @source transformers modeling_rope_utils.py, "longrope": each frequency is divided by its factor
 */
function hfRope({ ropeScaling, positions }: ModelShape): Readonly<Record<string, unknown>> | undefined {
  if (ropeScaling?.rope_type !== 'factors') return ropeScaling;
  const { factors } = ropeScaling;
  return {
    rope_type: 'longrope',
    short_factor: factors,
    long_factor: factors,
    factor: 1,
    attention_factor: 1,
    original_max_position_embeddings: positions,
  };
}

const dtypeNames = { f32: 'float32', f16: 'float16' } as const satisfies Record<ExportDtype, string>;

const oneOrAll = (ids: readonly number[]): number | readonly number[] =>
  ids.length === 1 ? (ids[0] as number) : ids;

/** config.json and generation_config.json. */
export function hfConfigFiles(
  source: ExportSource,
  options: { readonly dtype: ExportDtype; readonly folder: string; readonly more?: Record<string, unknown> },
): ExportFile[] {
  const { shape } = source.cut;
  const stopIds = JSON.parse(source.metadata.stopIds ?? '[]') as number[];
  return [
    jsonFile(`${options.folder}config.json`, { ...hfConfig(shape, stopIds, options.dtype), ...options.more }),
    jsonFile(`${options.folder}generation_config.json`, {
      eos_token_id: oneOrAll(stopIds),
      // Stock generation asks for one where it fills rows up; what ends a text is never read again.
      pad_token_id: stopIds[0] ?? 0,
      use_cache: true,
    }),
  ];
}
