import { CodedError } from '../../errors.js';
import {
  hasBias,
  type ModelShape,
  type ModuleName,
  moduleDims,
  moduleNames,
} from '../../graph/model-shape.js';
import { ropeFactorsName } from '../gguf/gguf-config.js';
import { ggufNames } from '../gguf/gguf-source.js';
import { type GgufFields, type GgufTensorToWrite, writeGguf } from '../gguf/gguf-writer.js';
import { takeRows } from '../permute.js';
import { type RopeScaling, ropeFrequencies } from '../rope-scaling.js';
import type { ExportFile } from './export-file.js';
import { type ExportDtype, tensorDtype } from './export-kinds.js';
import { type ExportedFactors, type ExportSource, eachRows } from './export-source.js';

/** llama.cpp's name of an architecture: its Mistral is a Llama. */
const families = { llama: 'llama', mistral: 'llama', qwen2: 'qwen2' } as const;
/** `general.file_type`. @source llama.h, enum llama_ftype */
const fileTypes = { f32: 0, f16: 1, q4_0: 2, q8_0: 7 } as const;
/** Number types of a model's matrices. */
export type GgufModelDtype = ExportDtype | 'q8_0' | 'q4_0';
const matrixDtype = { ...tensorDtype, q8_0: 'Q8_0', q4_0: 'Q4_0' } as const;

/**
 * A model as one GGUF file, tokenizer included.
 * @param form `merged` adds the adapter
 * @param tokenizer what writeGgufTokenizer made
 * @throws UNSUPPORTED_ARCHITECTURE for a rope scaling, or sizes of heads, that llama.cpp does not
 *   compute for the model
 * @source llama.cpp, llama-arch.cpp and convert_hf_to_gguf.py
 */
export function ggufModel(
  source: ExportSource,
  form: 'base' | 'merged',
  options: {
    readonly path: string;
    readonly name: string;
    readonly dtype: GgufModelDtype;
    readonly tokenizer: GgufFields;
  },
): ExportFile {
  const { shape } = source.cut;
  const names = ggufNames(shape);
  const tensors: GgufTensorToWrite[] = [];
  const add = (name: string, dims: readonly number[], read: () => AsyncIterable<Float32Array>): void => {
    // llama.cpp adds and multiplies vectors in F32 only.
    // llama.cpp's quantiser spares the embedding and the head, as ours does.
    const type = options.dtype === 'q4_0' && (name === 'embed' || name === 'head') ? 'q8_0' : options.dtype;
    const dtype = dims.length === 1 ? 'F32' : matrixDtype[type];
    tensors.push({ name: names.get(name) ?? name, dtype, shape: dims, read });
  };
  const once = (read: () => Promise<Float32Array>) =>
    async function* () {
      yield await read();
    };
  add('embed', [shape.vocab, shape.hidden], () => eachRows(source, 'embed'));
  if (!shape.tiedHead) add('head', [shape.vocab, shape.hidden], () => eachRows(source, 'head'));
  add(
    'norm',
    [shape.hidden],
    once(() => source.norm('norm', 0)),
  );
  const rope = ropeFields(shape);
  if (shape.architecture === 'qwen2' && shape.heads * shape.headDim !== shape.hidden)
    throw new CodedError(
      'UNSUPPORTED_ARCHITECTURE',
      `GGUF cannot say ${shape.heads} heads of ${shape.headDim} beside a hidden size of ${shape.hidden} for qwen2, wanted heads that are as wide together`,
    );
  const { factors } = rope;
  if (factors)
    add(
      ropeFactorsName,
      [factors.length],
      once(async () => factors),
    );
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const norm of ['inputNorm', 'postNorm'] as const)
      add(
        `layers.${layer}.${norm}`,
        [shape.hidden],
        once(() => source.norm(norm, layer)),
      );
    for (const module of moduleNames) {
      const [input, output] = moduleDims(shape, module);
      const name = `layers.${layer}.${module}`;
      const rows = async (): Promise<Float32Array> =>
        joinPairs(await source.matrix(layer, module, form), shape, module, input);
      add(name, [output, input], once(rows));
      if (hasBias(shape, module))
        add(
          `${name}.bias`,
          [output],
          once(async () => joinPairs(await source.bias(layer, module), shape, module, 1)),
        );
    }
  }
  const fields = { ...modelFields(shape, options.name, options.dtype), ...rope.fields, ...options.tokenizer };
  return { path: options.path, write: (sink) => writeGguf(sink, fields, tensors) };
}

/**
 * The adapter as a GGUF LoRA for `ggufModel` of the same source. llama.cpp multiplies by alpha over
 * each tensor's own rank, with one alpha for the file; here every rank has the same scale. So alpha
 * is the largest rank, and the rest of the scale is in B.
 * @source llama.cpp, convert_lora_to_gguf.py; llama-adapter.h, llama_adapter_lora_weight::get_scale
 */
export function ggufLora(source: ExportSource, path: string): ExportFile {
  const { shape, layers } = source.cut;
  const names = ggufNames(shape);
  return {
    path,
    async write(sink) {
      const found: { name: string; module: ModuleName; factors: ExportedFactors }[] = [];
      for (let layer = 0; layer < layers.length; layer++)
        for (const module of source.modules) {
          const factors = await source.factors(layer, module);
          if (factors) found.push({ name: names.get(`layers.${layer}.${module}`) ?? '', module, factors });
        }
      if (found.length === 0)
        throw new CodedError(
          'ADAPTER_CONFIG',
          'the candidate has rank 0 everywhere, wanted one with an adapter',
        );
      const alpha = found.reduce((most, { factors }) => Math.max(most, factors.rank), 0);
      const tensors = found.flatMap(({ name, module, factors }): GgufTensorToWrite[] => {
        const [input, output] = moduleDims(shape, module);
        const { rank, scale, a } = factors;
        const fold = scale * (rank / alpha);
        const b = joinPairs(factors.b, shape, module, rank).map((value) => value * fold);
        return [
          {
            name: `${name}.lora_a`,
            dtype: 'F32',
            shape: [rank, input],
            read: async function* () {
              yield a;
            },
          },
          {
            name: `${name}.lora_b`,
            dtype: 'F32',
            shape: [output, rank],
            read: async function* () {
              yield b;
            },
          },
        ];
      });
      const fields: GgufFields = {
        'general.architecture': { text: families[shape.architecture] },
        'general.type': { text: 'adapter' },
        'general.file_type': { u32: fileTypes.f32 },
        'adapter.type': { text: 'lora' },
        'adapter.lora.alpha': { f32: alpha },
      };
      await writeGguf(sink, fields, tensors);
    },
  };
}

function modelFields(shape: ModelShape, name: string, dtype: GgufModelDtype): GgufFields {
  const family = families[shape.architecture];
  const own: GgufFields = {
    vocab_size: { u32: shape.vocab },
    // Its llama has no window, so texts end where one would begin to slide.
    context_length: { u32: Math.min(shape.positions, shape.slidingWindow ?? shape.positions) },
    embedding_length: { u32: shape.hidden },
    block_count: { u32: shape.layers },
    feed_forward_length: { u32: shape.ffnWidth },
    'attention.head_count': { u32: shape.heads },
    'attention.head_count_kv': { u32: shape.kvHeads },
    'attention.key_length': { u32: shape.headDim },
    'attention.value_length': { u32: shape.headDim },
    'attention.layer_norm_rms_epsilon': { f32: shape.rmsEpsilon },
    'rope.dimension_count': { u32: shape.headDim },
    'rope.freq_base': { f32: shape.ropeTheta },
  };
  return {
    'general.architecture': { text: family },
    'general.type': { text: 'model' },
    'general.name': { text: name },
    'general.file_type': { u32: fileTypes[dtype] },
    ...Object.fromEntries(Object.entries(own).map(([key, field]) => [`${family}.${key}`, field])),
  };
}

/** Scaled frequencies as llama.cpp takes them: keys that it computes them from, or a factor for each. */
function ropeFields(shape: ModelShape): {
  readonly fields: GgufFields;
  readonly factors: Float32Array | null;
} {
  const scaling = shape.ropeScaling as RopeScaling | undefined;
  if (scaling === undefined) return { fields: {}, factors: null };
  const family = families[shape.architecture];
  const key = (name: string): string => `${family}.rope.scaling.${name}`;
  if (scaling.rope_type === 'linear')
    return {
      fields: { [key('type')]: { text: 'linear' }, [key('factor')]: { f32: scaling.factor } },
      factors: null,
    };
  if (scaling.rope_type === 'yarn' && scaling.truncate) {
    const own = 0.1 * Math.log(scaling.factor) + 1;
    return {
      fields: {
        [key('type')]: { text: 'yarn' },
        [key('factor')]: { f32: scaling.factor },
        [key('attn_factor')]: { f32: scaling.attention_factor / own },
        [key('original_context_length')]: { u32: scaling.original_max_position_embeddings },
        [key('yarn_beta_fast')]: { f32: scaling.beta_fast },
        [key('yarn_beta_slow')]: { f32: scaling.beta_slow },
      },
      factors: null,
    };
  }
  if (scaling.rope_type === 'yarn' || family !== 'llama')
    throw new CodedError(
      'UNSUPPORTED_ARCHITECTURE',
      `GGUF cannot say rope scaling "${scaling.rope_type}"${scaling.rope_type === 'yarn' ? ' without truncation' : ''} for ${family}, wanted linear or yarn${family === 'llama' ? ', llama3 or factors' : ''}`,
    );
  const plain = ropeFrequencies(shape.headDim, shape.ropeTheta, undefined).frequencies;
  const { frequencies } = ropeFrequencies(shape.headDim, shape.ropeTheta, scaling);
  return { fields: {}, factors: plain.map((frequency, i) => frequency / (frequencies[i] as number)) };
}

/**
 * Rows of q and k in llama.cpp's order, the inverse of `splitPairs`: row i of a head becomes row 2i,
 * row i + headDim / 2 becomes row 2i + 1. Other modules, and other families, stay as they are.
 */
function joinPairs(rows: Float32Array, shape: ModelShape, module: ModuleName, columns: number): Float32Array {
  if ((module !== 'q' && module !== 'k') || families[shape.architecture] !== 'llama') return rows;
  const half = shape.headDim / 2;
  const order = Int32Array.from({ length: rows.length / columns }, (_, to) => {
    const inHead = to % shape.headDim;
    return to - inHead + (inHead >> 1) + (inHead & 1) * half;
  });
  return takeRows(rows, order, columns);
}
