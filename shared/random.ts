/**
 * Seeded randomness. Chance is an argument everywhere: nothing in the project calls Math.random,
 * so a search or a training run repeats from its seed.
 */
export interface Random {
  /** Uniform in [0, 1), 32 bits of resolution. */
  next(): number;
  /** Uniform integer in [0, n). */
  below(n: number): number;
  /** One element of a non-empty list. */
  pick<T>(list: readonly T[]): T;
  /** The list in random order (Fisher-Yates), the input unchanged. */
  shuffle<T>(list: readonly T[]): T[];
  /** Standard normal deviate (Box-Muller). */
  normal(): number;
  /** The generator's whole state, to be handed to `restoreRandom`. */
  state(): number[];
}

/** A generator (xoshiro128**, state filled by splitmix32) that repeats for equal seeds. */
export function createRandom(seed: number): Random {
  let x = seed >>> 0;
  const state = [0, 0, 0, 0].map(() => {
    x = (x + 0x9e3779b9) >>> 0;
    let z = x;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  });
  return restoreRandom(state);
}

/** The generator whose `state()` returned `saved`. */
export function restoreRandom(saved: readonly number[]): Random {
  let [a = 0, b = 0, c = 0, d = 1] = saved;
  const next32 = (): number => {
    const scaled = Math.imul(b, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const random: Random = {
    next: () => next32() / 0x1_0000_0000,
    below: (n) => Math.floor((next32() / 0x1_0000_0000) * n),
    pick<T>(list: readonly T[]): T {
      return list[random.below(list.length)] as T;
    },
    shuffle<T>(list: readonly T[]): T[] {
      const out = [...list];
      for (let i = out.length - 1; i > 0; i--) {
        const j = random.below(i + 1);
        [out[i], out[j]] = [out[j] as T, out[i] as T];
      }
      return out;
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next()),
    state: () => [a >>> 0, b >>> 0, c >>> 0, d >>> 0],
  };
  return random;
}
