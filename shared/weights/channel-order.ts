import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { CodedError } from '../errors.js';
import type { ModelShape } from '../graph/model-shape.js';
import type { ModelSource } from './model-source.js';
import { forEachRows } from './read-rows.js';

/**
 * FFN channels of every layer from the most to the least important: by the summed absolute weights
 * of gate row, up row and down column, ties by channel number. Result[layer · ffn + k] is the
 * original number of the channel at sorted position k of its layer.
 * @throws WEIGHT_NOT_FINITE naming layer and channel
 * @source LoNAS section 3.1 (weight reordering before super-network training)
 */
export async function orderChannels(source: ModelSource): Promise<Int32Array> {
  const { layers, ffnWidth } = source.config.shape;
  const order = new Int32Array(layers * ffnWidth);
  for (let layer = 0; layer < layers; layer++)
    order.set(orderByImportance(await sumMagnitudes(source, layer)), layer * ffnWidth);
  return order;
}

/** Numbers 0, 1, … from the most to the least important, ties by number. */
export function orderByImportance(importance: Float64Array): Int32Array {
  return Int32Array.from(importance.keys()).sort(
    (a, b) => (importance[b] as number) - (importance[a] as number) || a - b,
  );
}

/** Summed absolute weights of each FFN channel of a layer, [ffn]. @throws WEIGHT_NOT_FINITE */
async function sumMagnitudes(source: ModelSource, layer: number): Promise<Float64Array> {
  const { hidden, ffnWidth } = source.config.shape;
  const sums = new Float64Array(ffnWidth);
  for (const module of ['gate', 'up'])
    await forEachRows(source, `layers.${layer}.${module}`, (values, first) => {
      for (let i = 0; i < values.length; i++) {
        const channel = first + Math.floor(i / hidden);
        sums[channel] = (sums[channel] as number) + Math.abs(values[i] as number);
      }
    });
  await forEachRows(source, `layers.${layer}.down`, (values) => {
    for (let i = 0; i < values.length; i++) {
      const channel = i % ffnWidth;
      sums[channel] = (sums[channel] as number) + Math.abs(values[i] as number);
    }
  });
  const broken = sums.findIndex((sum) => !Number.isFinite(sum));
  if (broken >= 0)
    throw new CodedError(
      'WEIGHT_NOT_FINITE',
      `layer ${layer}: FFN channel ${broken} holds a weight that is not finite`,
    );
  return sums;
}

/** Digest of the order of all layers, I32 little-endian [layers, ffn]. */
export function digestOrder(order: Int32Array): string {
  return bytesToHex(sha256(new Uint8Array(order.buffer, order.byteOffset, order.byteLength)));
}

/**
 * Reads a channel_order.json: `{"ffn_channel_order": {"0": [channel, ...], ...}}`, the order that
 * an adapter was trained with.
 * @throws ADAPTER_OTHER_BASE when it is not an order of this shape
 */
export function parseChannelOrder(value: unknown, shape: ModelShape): Int32Array {
  const layers = (value as { ffn_channel_order?: Record<string, unknown> } | null)?.ffn_channel_order;
  const order = new Int32Array(shape.layers * shape.ffnWidth);
  const found = typeof layers === 'object' && layers !== null ? Object.keys(layers).length : 0;
  if (found !== shape.layers)
    throw new CodedError(
      'ADAPTER_OTHER_BASE',
      `channel_order.json orders ${found} layers, the base has ${shape.layers}`,
    );
  for (let layer = 0; layer < shape.layers; layer++) {
    const channels = layers?.[String(layer)];
    const whole = Array.isArray(channels) && new Set(channels).size === shape.ffnWidth;
    if (!whole || channels.length !== shape.ffnWidth || !channels.every((c) => isChannel(c, shape.ffnWidth)))
      throw new CodedError(
        'ADAPTER_OTHER_BASE',
        `channel_order.json orders ${Array.isArray(channels) ? channels.length : 0} channels in layer ${layer}, ` +
          `the base has ${shape.ffnWidth}, each to be named once`,
      );
    order.set(channels, layer * shape.ffnWidth);
  }
  return order;
}

function isChannel(value: unknown, ffnWidth: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < ffnWidth;
}
