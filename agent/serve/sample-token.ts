import { argmax } from '@fleetlora/shared/engine';
import type { Random } from '@fleetlora/shared/random';

/**
 * One token id from logits [vocab]: the likeliest at temperature 0, else drawn from
 * softmax(logits / temperature).
 */
export function sampleToken(logits: Float32Array, temperature: number, random: Random): number {
  const best = argmax(logits);
  if (temperature === 0) return best;
  // Relative to the largest logit, so that exp never overflows.
  const top = logits[best] as number;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
  let left = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
  for (let id = 0; id < weights.length; id++) {
    left -= weights[id] as number;
    if (left < 0) return id;
  }
  return best;
}
