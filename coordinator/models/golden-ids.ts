import { argmax, type Decoder } from '@fleetlora/shared/engine';

/**
 * Least lead, in logits, of a token over the runner-up for it to be expected of other machines.
 * Instruction sets sum in other orders: ours and PyTorch's logits differ by up to 2e-3.
 */
const CLEAR_LEAD = 0.02;

/**
 * The greedy continuation as far as every right device must give it: it ends before a stop token
 * and before the first token whose lead over the runner-up is within rounding.
 */
export async function proveGreedily(
  decoder: Decoder,
  promptIds: readonly number[],
  options: { readonly maxTokens: number; readonly stopIds: readonly number[] },
): Promise<number[]> {
  const ids: number[] = [];
  decoder.reset();
  const room = Math.min(options.maxTokens, decoder.positions - promptIds.length);
  let logits = await decoder.prefill(promptIds);
  while (ids.length < room) {
    const best = argmax(logits);
    if (options.stopIds.includes(best) || leadOf(logits, best) < CLEAR_LEAD) break;
    ids.push(best);
    if (ids.length < room) logits = await decoder.step(best);
  }
  return ids;
}

function leadOf(logits: Float32Array, best: number): number {
  let second = Number.NEGATIVE_INFINITY;
  logits.forEach((value, id) => {
    if (id !== best && value > second) second = value;
  });
  return (logits[best] as number) - second;
}
