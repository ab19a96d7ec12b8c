import type { ModelShape } from '@fleetlora/shared/graph';
import {
  bufferSource,
  digestOrder,
  encodeTensorFile,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';
import { tinyConfig } from '../lib/tiny-llama.js';

const layers = tinyConfig.num_hidden_layers;
const ffnWidth = tinyConfig.intermediate_size;

/** The shape of the tiny Llama. */
export const tinyShape: ModelShape = {
  architecture: 'llama',
  layers,
  hidden: tinyConfig.hidden_size,
  heads: tinyConfig.num_attention_heads,
  kvHeads: tinyConfig.num_key_value_heads,
  headDim: tinyConfig.head_dim,
  ffnWidth,
  vocab: tinyConfig.vocab_size,
  positions: tinyConfig.max_position_embeddings,
  rmsEpsilon: tinyConfig.rms_norm_eps,
  ropeTheta: tinyConfig.rope_theta,
  tiedHead: tinyConfig.tie_word_embeddings,
};

/** FFN channels of every layer from the last to the first. */
export const tinyOrder = Int32Array.from(
  { length: layers * ffnWidth },
  (_, index) => ffnWidth - 1 - (index % ffnWidth),
);

/** As much of a base file as an adapter is held against: shape and FFN order, without the weights. */
export function tinyBaseFile(): Uint8Array {
  return encodeTensorFile(
    [{ name: 'ffnOrder', dtype: 'I32', shape: [layers, ffnWidth], data: tinyOrder }],
    {
      format: 'fleetlora-base',
      layoutVersion: '1',
      shape: JSON.stringify(tinyShape),
      ffnOrderDigest: digestOrder(tinyOrder),
    },
    { alignment: 'page' },
  );
}

/** The record of a quantised base of a wider FFN, and its smallest matrix. */
export function tinyQuantisedFile(): Uint8Array {
  const shape: ModelShape = { ...tinyShape, ffnWidth: 64 };
  const rows = shape.kvHeads * shape.headDim;
  const blocks = shape.hidden / 32;
  return encodeTensorFile(
    [
      {
        name: 'layers.0.k.q',
        dtype: 'U8',
        shape: [rows, blocks, 16],
        data: new Uint8Array(rows * blocks * 16).fill(0x87),
      },
      {
        name: 'layers.0.k.scale',
        dtype: 'F32',
        shape: [rows, blocks],
        data: new Float32Array(rows * blocks).fill(0.5),
      },
    ],
    {
      format: 'fleetlora-base',
      layoutVersion: '2',
      shape: JSON.stringify(shape),
      precision: 'q4',
      tablePrecision: 'q8',
      ffnChunks: '[32,32]',
      sourceBaseDigest: 'd'.repeat(64),
    },
    { alignment: 'page' },
  );
}

export async function tinyBase(): Promise<{ file: TensorFile; digest: string }> {
  return { file: await readTensorFile(bufferSource(tinyBaseFile())), digest: 'd'.repeat(64) };
}

/** channel_order.json of the same order. */
export function tinyOrderFile(): Uint8Array {
  const orders = Array.from({ length: layers }, (_, layer) => [
    String(layer),
    [...tinyOrder.subarray(layer * ffnWidth, (layer + 1) * ffnWidth)],
  ]);
  return new TextEncoder().encode(JSON.stringify({ ffn_channel_order: Object.fromEntries(orders) }));
}
