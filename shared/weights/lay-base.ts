import { CodedError } from '../errors.js';
import { type ModelShape, moduleDims, moduleNames } from '../graph/model-shape.js';
import type { ChatTemplateSource } from '../text/chat-template.js';
import { digestOrder, sortChannels } from './channel-order.js';
import { encodeTensorFile, type TensorToWrite } from './encode-tensor-file.js';
import type { LlamaConfig } from './llama-config.js';
import { modulePaths } from './module-paths.js';
import { takeRows, transpose } from './permute.js';
import { readFloats } from './read-values.js';
import { ropeTables } from './rope-tables.js';
import { elementCount, type TensorFile } from './tensor-file.js';

export interface LaidBase {
  /** The base file, F32 and page-aligned, FFN channels in order of importance. */
  readonly bytes: Uint8Array;
  /** Weights of the model, each counted once. */
  readonly parameters: number;
}

/**
 * Lays a Hugging Face Llama model out as a base file.
 * Every name the model file holds must be one we use: a tensor we do not know (a bias, a query
 * norm) means arithmetic our graphs would leave out.
 * @param model.file model.safetensors, F16, BF16 or F32
 * @throws WEIGHT_MISSING, WEIGHT_SHAPE, WEIGHT_DTYPE, WEIGHT_NOT_FINITE, UNSUPPORTED_ARCHITECTURE
 */
export async function layBase(model: {
  readonly config: LlamaConfig;
  readonly file: TensorFile;
  readonly sourceDigest: string;
  readonly tokenizerDigest: string;
  /** Of a model that has a chat template; without one the file says nothing of it. */
  readonly chat?: ChatTemplateSource | null;
}): Promise<LaidBase> {
  const { shape, stopIds } = model.config;
  const { hidden, ffnWidth, vocab } = shape;
  const used = new Set<string>();
  const tensors: TensorToWrite[] = [];
  let parameters = 0;
  const read = async (name: string, dims: readonly number[]): Promise<Float32Array> => {
    used.add(name);
    const data = await readFloats(model.file, name, dims);
    parameters += data.length;
    return data;
  };
  const put = (name: string, dims: readonly number[], data: Float32Array): void => {
    if (!data.every(Number.isFinite))
      throw new CodedError('WEIGHT_NOT_FINITE', `tensor for "${name}" holds a weight that is not finite`);
    tensors.push({ name, dtype: 'F32', shape: dims, data });
  };

  put('embed', [vocab, hidden], await read('model.embed_tokens.weight', [vocab, hidden]));
  if (!shape.tiedHead) put('head', [vocab, hidden], await read('lm_head.weight', [vocab, hidden]));
  put('norm', [hidden], await read('model.norm.weight', [hidden]));

  const ffnOrder = new Int32Array(shape.layers * ffnWidth);
  for (let layer = 0; layer < shape.layers; layer++) {
    const source = `model.layers.${layer}`;
    const target = `layers.${layer}`;
    put(`${target}.inputNorm`, [hidden], await read(`${source}.input_layernorm.weight`, [hidden]));
    put(`${target}.postNorm`, [hidden], await read(`${source}.post_attention_layernorm.weight`, [hidden]));
    const matrices: Record<string, Float32Array> = {};
    for (const module of moduleNames) {
      const [input, output] = moduleDims(shape, module);
      matrices[module] = await read(`${source}.${modulePaths[module]}.weight`, [output, input]);
    }
    const { q, k, v, o, gate, up, down } = matrices as Record<(typeof moduleNames)[number], Float32Array>;
    const order = sortChannels({ gate, up, down }, hidden, ffnWidth);
    ffnOrder.set(order, layer * ffnWidth);
    const stored = {
      q,
      k,
      v,
      o,
      gate: takeRows(gate, order, hidden),
      up: takeRows(up, order, hidden),
      down: takeRows(transpose(down, hidden, ffnWidth), order, hidden),
    };
    for (const module of moduleNames) {
      const [input, output] = moduleDims(shape, module);
      put(`${target}.${module}`, module === 'down' ? [input, output] : [output, input], stored[module]);
    }
  }
  refuseUnknown(model.file, used, shape);

  const { cos, sin } = ropeTables(shape);
  const half = shape.headDim / 2;
  put('rope.cos', [shape.positions, half], cos);
  put('rope.sin', [shape.positions, half], sin);
  tensors.push({ name: 'ffnOrder', dtype: 'I32', shape: [shape.layers, ffnWidth], data: ffnOrder });
  tensors.push({
    name: 'headOrder',
    dtype: 'I32',
    shape: [shape.layers, shape.kvHeads],
    data: Int32Array.from(
      { length: elementCount([shape.layers, shape.kvHeads]) },
      (_, i) => i % shape.kvHeads,
    ),
  });
  const metadata = {
    format: 'fleetlora-base',
    layoutVersion: '1',
    shape: JSON.stringify(shape),
    sourceDigest: model.sourceDigest,
    tokenizerDigest: model.tokenizerDigest,
    ffnOrderDigest: digestOrder(ffnOrder),
    stopIds: JSON.stringify(stopIds),
    parameters: String(parameters),
    ...(model.chat && {
      chatTemplate: model.chat.template,
      chatTokens: JSON.stringify(model.chat.tokens),
    }),
  };
  return { bytes: encodeTensorFile(tensors, metadata, { alignment: 'page' }), parameters };
}

function refuseUnknown(file: TensorFile, used: ReadonlySet<string>, shape: ModelShape): void {
  for (const name of file.tensors.keys()) {
    // A tied model may still carry its head, and old exports the rotary frequencies.
    const known =
      used.has(name) ||
      (shape.tiedHead && name === 'lm_head.weight') ||
      name.endsWith('.rotary_emb.inv_freq');
    if (!known)
      throw new CodedError(
        'UNSUPPORTED_ARCHITECTURE',
        `model file holds "${name.slice(0, 80)}", which a ${shape.layers}-layer Llama without biases does not have`,
      );
  }
}
