import { CodedError } from '../errors.js';
import { hasBias, type ModelShape, moduleNames } from '../graph/model-shape.js';
import { type ModelConfig, type ModelSource, sourceTensors } from './model-source.js';
import { modulePaths } from './module-paths.js';
import { elementsAt, requireFloats } from './read-values.js';
import { dtypeBytes, type TensorEntry, type TensorFile } from './tensor-file.js';

/** Where a tensor of a model lies: in which of its files. */
export interface FoundTensor {
  readonly file: TensorFile;
  readonly entry: TensorEntry;
}

/**
 * A Hugging Face model as a source of a base: safetensors of F32, F16 or BF16. Every name must be
 * one we use: a tensor we do not know (a bias, a query norm) means arithmetic our graphs leave out.
 * @param tensors of model.safetensors, or of its shards together
 * @throws WEIGHT_MISSING, WEIGHT_SHAPE, WEIGHT_DTYPE, UNSUPPORTED_ARCHITECTURE
 */
export function openHfModel(
  config: ModelConfig,
  tensors: ReadonlyMap<string, FoundTensor>,
  sourceDigest: string,
): ModelSource {
  const { shape } = config;
  const names = hfNames(shape);
  const found = new Map<string, FoundTensor>();
  for (const [name, dims] of sourceTensors(shape)) {
    const path = names.get(name) as string;
    const tensor = tensors.get(path);
    if (!tensor)
      throw new CodedError('WEIGHT_MISSING', `model has no tensor "${path}" among its ${tensors.size}`);
    requireFloats(path, tensor.entry, dims);
    found.set(name, tensor);
  }
  refuseUnknown(tensors.keys(), new Set(names.values()), shape);
  return {
    config,
    sourceDigest,
    async readRows(name, first, rows) {
      const { file, entry } = found.get(name) as FoundTensor;
      const rowBytes = (entry.shape[1] ?? 1) * dtypeBytes[entry.dtype];
      return elementsAt(file, entry.dtype, entry.offset + first * rowBytes, rows * rowBytes);
    },
  };
}

/** The tensors of one safetensors file. */
export function tensorsOf(file: TensorFile): Map<string, FoundTensor> {
  return new Map([...file.tensors].map(([name, entry]) => [name, { file, entry }]));
}

/** Names in a base file to names in a Hugging Face model. */
function hfNames(shape: ModelShape): Map<string, string> {
  const names = new Map([['embed', 'model.embed_tokens.weight']]);
  if (!shape.tiedHead) names.set('head', 'lm_head.weight');
  names.set('norm', 'model.norm.weight');
  for (let layer = 0; layer < shape.layers; layer++) {
    const target = `layers.${layer}`;
    const source = `model.layers.${layer}`;
    names.set(`${target}.inputNorm`, `${source}.input_layernorm.weight`);
    names.set(`${target}.postNorm`, `${source}.post_attention_layernorm.weight`);
    for (const module of moduleNames) {
      names.set(`${target}.${module}`, `${source}.${modulePaths[module]}.weight`);
      if (hasBias(shape, module))
        names.set(`${target}.${module}.bias`, `${source}.${modulePaths[module]}.bias`);
    }
  }
  return names;
}

function refuseUnknown(found: Iterable<string>, used: ReadonlySet<string>, shape: ModelShape): void {
  for (const name of found) {
    // A tied model may still carry its head, and old exports the rotary frequencies.
    const known =
      used.has(name) ||
      (shape.tiedHead && name === 'lm_head.weight') ||
      name.endsWith('.rotary_emb.inv_freq');
    if (!known)
      throw new CodedError(
        'UNSUPPORTED_ARCHITECTURE',
        `model file holds "${name.slice(0, 80)}", which a ${shape.layers}-layer ${shape.architecture} model ${shape.qkvBias ? 'with biases of q, k and v alone' : 'without biases'} does not have`,
      );
  }
}
