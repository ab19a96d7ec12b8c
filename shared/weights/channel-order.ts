import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { CodedError } from '../errors.js';
import type { ModelShape } from '../graph/model-shape.js';

/** FFN matrices of one layer as Hugging Face stores them: gate, up [ffn, hidden], down [hidden, ffn]. */
export interface FfnMatrices {
  readonly gate: Float32Array;
  readonly up: Float32Array;
  readonly down: Float32Array;
}

/**
 * FFN channels of a layer from the most to the least important: by the summed absolute weights
 * of gate row, up row and down column, ties by channel number. Result[k] is the original number
 * of the channel at sorted position k.
 * @throws WEIGHT_NOT_FINITE naming the channel
 * @source LoNAS section 3.1 (weight reordering before super-network training)
 */
export function sortChannels(matrices: FfnMatrices, hidden: number, ffnWidth: number): Int32Array {
  const importance = new Float64Array(ffnWidth);
  for (let channel = 0; channel < ffnWidth; channel++) {
    let sum = 0;
    for (let i = 0; i < hidden; i++) {
      sum +=
        Math.abs(matrices.gate[channel * hidden + i] as number) +
        Math.abs(matrices.up[channel * hidden + i] as number) +
        Math.abs(matrices.down[i * ffnWidth + channel] as number);
    }
    if (!Number.isFinite(sum))
      throw new CodedError('WEIGHT_NOT_FINITE', `FFN channel ${channel} holds a weight that is not finite`);
    importance[channel] = sum;
  }
  return Int32Array.from(importance.keys()).sort(
    (a, b) => (importance[b] as number) - (importance[a] as number) || a - b,
  );
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
