import type { Decoder } from './decoder.js';

/** Index of the largest value; the first one of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

/**
 * Greedy continuation of a prompt, from an empty cache, token by token. Ends before a stop token,
 * after `maxTokens`, or when the cache is full.
 */
export async function* generateGreedy(
  decoder: Decoder,
  ids: readonly number[],
  options: { readonly maxTokens: number; readonly stopIds: readonly number[] },
): AsyncGenerator<number> {
  decoder.reset();
  let next = argmax(await decoder.prefill(ids));
  for (let count = 0; count < options.maxTokens; count++) {
    if (options.stopIds.includes(next)) return;
    yield next;
    if (count + 1 === options.maxTokens || decoder.length >= decoder.positions) return;
    next = argmax(await decoder.step(next));
  }
}
