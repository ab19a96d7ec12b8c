import { CodedError } from '../../errors.js';
import { type ModelShape, moduleNames } from '../../graph/model-shape.js';
import { type ModelConfig, type ModelSource, sourceTensors } from '../model-source.js';
import { quoteValue } from '../quote-value.js';
import { ropeFactorsName } from './gguf-config.js';
import type { GgufFile } from './read-gguf.js';
import { readGgufRows, requireGgufTensor } from './read-gguf-rows.js';

/** Names of linear modules below `blk.{i}.`. @source llama.cpp, llama-arch.cpp */
const moduleParts = {
  q: 'attn_q',
  k: 'attn_k',
  v: 'attn_v',
  o: 'attn_output',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down',
} as const;

/** Names in a GGUF file by those of `sourceTensors`. */
export function ggufNames(shape: ModelShape): Map<string, string> {
  const names = new Map([
    ['embed', 'token_embd.weight'],
    ['head', 'output.weight'],
    ['norm', 'output_norm.weight'],
  ]);
  for (let layer = 0; layer < shape.layers; layer++) {
    names.set(`layers.${layer}.inputNorm`, `blk.${layer}.attn_norm.weight`);
    names.set(`layers.${layer}.postNorm`, `blk.${layer}.ffn_norm.weight`);
    for (const module of moduleNames) {
      names.set(`layers.${layer}.${module}`, `blk.${layer}.${moduleParts[module]}.weight`);
      names.set(`layers.${layer}.${module}.bias`, `blk.${layer}.${moduleParts[module]}.bias`);
    }
  }
  return names;
}

/**
 * A GGUF file as a model to be laid out.
 * @param sourceDigest SHA-256 of the file
 * @throws WEIGHT_MISSING, WEIGHT_SHAPE; UNSUPPORTED_ARCHITECTURE for a tensor that our graphs would leave out
 */
export function ggufSource(file: GgufFile, config: ModelConfig, sourceDigest: string): ModelSource {
  const { shape } = config;
  const names = ggufNames(shape);
  const nameOf = (name: string): string => names.get(name) as string;
  const wanted = sourceTensors(shape);
  for (const [name, dims] of wanted) requireGgufTensor(file, nameOf(name), dims);
  const used = new Set([...wanted.keys()].map(nameOf)).add(ropeFactorsName);
  for (const name of file.tensors.keys())
    if (!used.has(name))
      throw new CodedError(
        'UNSUPPORTED_ARCHITECTURE',
        `GGUF file holds ${quoteValue(name)}, which a ${shape.layers}-layer ${shape.architecture} model does not have`,
      );
  return {
    config,
    sourceDigest,
    async readRows(name, first, rows) {
      const dims = wanted.get(name);
      if (dims === undefined) throw new CodedError('BUG', `no model has a tensor named "${name}"`);
      const tensor = requireGgufTensor(file, nameOf(name), dims);
      const values = await readGgufRows(file, tensor, first, rows);
      return isInterleaved(file, name) ? splitPairs(values, shape.headDim, values.length / rows) : values;
    },
  };
}

/** llama.cpp turns neighbouring rows of a head by one angle where Hugging Face turns rows half a head apart. */
function isInterleaved({ metadata }: GgufFile, name: string): boolean {
  return metadata.get('general.architecture') === 'llama' && /\.[qk](\.bias)?$/.test(name);
}

/**
 * Rows of whole heads from llama.cpp's order to Hugging Face's: row 2i of a head becomes row i, row
 * 2i + 1 becomes row i + headDim / 2.
 * @param values [heads · headDim, columns]
 * @source llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute
 */
export function splitPairs(values: Float32Array, headDim: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  const half = headDim / 2;
  for (let row = 0; row < values.length / columns; row++) {
    const inHead = row % headDim;
    const to = row - inHead + (inHead >> 1) + (inHead & 1) * half;
    out.set(values.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return out;
}
