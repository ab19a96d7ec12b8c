import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Decoder } from '@fleetlora/shared/engine';
import { floatTensor, int64Tensor, type Runtime, type Tensor } from '@fleetlora/shared/runtime';
import type { ExportedModel } from './switch-spec.js';

/** A candidate that can run, however it is held. */
export type SwitchedModel = Pick<Decoder, 'prefill' | 'step' | 'reset' | 'close'>;

/**
 * Loads an exported ONNX model with the runtime's defaults, and feeds it as a stock program does: what
 * comes out as `present` goes in as `past_key_values` of the next run.
 */
export async function openExportedModel(
  runtime: Runtime,
  { folder, layers, kvHeads, headDim, vocab }: ExportedModel,
): Promise<SwitchedModel> {
  const graph = await readFile(join(folder, 'model.onnx'));
  const session = await runtime.createSession(graph, { weightFolder: folder, threads: 1 });
  const slots = Array.from({ length: layers }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  const fetches = ['logits', ...slots.map((slot) => `present.${slot}`)];
  const nothing = (): Tensor => floatTensor([1, kvHeads, 0, headDim], new Float32Array(0));
  let past = slots.map(nothing);
  let length = 0;
  const append = async (ids: readonly number[]): Promise<Float32Array> => {
    const total = length + ids.length;
    const feeds: Record<string, Tensor> = {
      input_ids: int64Tensor([1, ids.length], ids),
      attention_mask: int64Tensor([1, total], new Array<number>(total).fill(1)),
      position_ids: int64Tensor(
        [1, ids.length],
        ids.map((_, index) => length + index),
      ),
    };
    slots.forEach((slot, index) => {
      feeds[`past_key_values.${slot}`] = past[index] as Tensor;
    });
    const results = await session.run(feeds, fetches);
    past = slots.map((slot) => results[`present.${slot}`] as Tensor);
    length = total;
    const logits = results.logits?.data as Float32Array;
    return logits.subarray(logits.length - vocab);
  };
  return {
    prefill: append,
    step: (id) => append([id]),
    reset() {
      past = slots.map(nothing);
      length = 0;
    },
    close: () => session.release(),
  };
}
