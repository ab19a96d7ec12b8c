import { CodedError } from '../errors.js';
import { quoteValue as quote } from './quote-value.js';

/**
 * How the rotary frequencies of a model were changed so that it reads longer texts, as transformers
 * records it, with every default filled in. `factors` is what GGUF files have instead: each
 * frequency is divided by the factor of its own.
 */
export type RopeScaling =
  | { readonly rope_type: 'linear'; readonly factor: number }
  | {
      readonly rope_type: 'llama3';
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    }
  | {
      readonly rope_type: 'yarn';
      readonly factor: number;
      readonly original_max_position_embeddings: number;
      /** Multiplies cosine and sine. */
      readonly attention_factor: number;
      readonly beta_fast: number;
      readonly beta_slow: number;
      /** Whether the bounds of the ramp are whole dimensions. */
      readonly truncate: boolean;
    }
  | { readonly rope_type: 'factors'; readonly factors: readonly number[] };

type Fields = Readonly<Record<string, unknown>>;
const supported = 'default, linear, llama3 or yarn';

/**
 * The scaling that a config's `rope_scaling` or `rope_parameters` asks for; undefined for none.
 * @param positions of the model: what an absent original length falls back to
 * @throws UNSUPPORTED_ARCHITECTURE for a type that depends on the text's length or is not known,
 *   MODEL_CONFIG for a number that is missing or impossible
 * @source transformers modeling_rope_utils.py, version 5.17
 */
export function parseRopeScaling(record: Fields, positions: number): RopeScaling | undefined {
  const type = record.rope_type ?? record.type ?? 'default';
  const number = (name: string, lowest: number, fallback?: number): number => {
    const found = record[name] ?? fallback;
    if (typeof found !== 'number' || !Number.isFinite(found) || found < lowest || found > 2 ** 24)
      throw new CodedError(
        'MODEL_CONFIG',
        `rope scaling "${type}" has ${name} = ${quote(found)}, wanted a number from ${lowest} on`,
      );
    return found;
  };
  const original = (): number => number('original_max_position_embeddings', 1, positions);
  switch (type) {
    case 'default':
      return undefined;
    case 'linear':
      return { rope_type: 'linear', factor: number('factor', 1) };
    case 'llama3': {
      const low = number('low_freq_factor', Number.MIN_VALUE);
      const high = number('high_freq_factor', Number.MIN_VALUE);
      if (high <= low)
        throw new CodedError(
          'MODEL_CONFIG',
          `rope scaling "llama3" has high_freq_factor = ${high}, wanted more than low_freq_factor = ${low}`,
        );
      return {
        rope_type: 'llama3',
        factor: number('factor', 1),
        low_freq_factor: low,
        high_freq_factor: high,
        original_max_position_embeddings: original(),
      };
    }
    case 'yarn': {
      const factor = number('factor', 1, positions / original());
      return {
        rope_type: 'yarn',
        factor,
        original_max_position_embeddings: original(),
        attention_factor: number('attention_factor', Number.MIN_VALUE, attentionFactor(factor, record)),
        // 0 counts as absent, as it does in Python's `or`.
        beta_fast: number('beta_fast', 0, 32) || 32,
        beta_slow: number('beta_slow', 0, 1) || 1,
        truncate: record.truncate !== false,
      };
    }
    default:
      throw new CodedError(
        'UNSUPPORTED_ARCHITECTURE',
        `rope scaling has rope_type = ${quote(type)}, wanted ${supported}`,
      );
  }
}

/** @source YaRN, arXiv 2309.00071 equation 22; the quotient of two such is DeepSeek's */
function attentionFactor(factor: number, { mscale, mscale_all_dim: ofAll }: Fields): number {
  const scaleOf = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  return typeof mscale === 'number' && typeof ofAll === 'number' && mscale !== 0 && ofAll !== 0
    ? scaleOf(mscale) / scaleOf(ofAll)
    : scaleOf(1);
}

/** Rotary frequencies, radians a position, and what cosine and sine are multiplied by. */
export interface RopeFrequencies {
  /** [headDim / 2] */
  readonly frequencies: Float32Array;
  readonly attentionFactor: number;
}

/**
 * frequency i = theta^(-2i / headDim), scaled. Every step is rounded to F32 as PyTorch rounds it,
 * because at a position of some hundreds the rounding of the frequency shows in the angle.
 * @throws MODEL_CONFIG when there are not headDim / 2 factors
 * @source RoFormer, arXiv 2104.09864 equation 15; transformers modeling_rope_utils.py
 */
export function ropeFrequencies(
  headDim: number,
  theta: number,
  scaling: RopeScaling | undefined,
): RopeFrequencies {
  const half = headDim / 2;
  /** theta^(2i / headDim), the wavelength over 2π. */
  const lengths = Float32Array.from({ length: half }, (_, i) => theta ** Math.fround((2 * i) / headDim));
  const plain = lengths.map((length) => 1 / length);
  const unchanged = (frequencies: Float32Array): RopeFrequencies => ({ frequencies, attentionFactor: 1 });
  switch (scaling?.rope_type) {
    case undefined:
      return unchanged(plain);
    case 'linear':
      return unchanged(plain.map((frequency) => frequency / Math.fround(scaling.factor)));
    case 'factors': {
      const { factors } = scaling;
      if (factors.length !== half || !factors.every((factor) => Number.isFinite(factor) && factor > 0))
        throw new CodedError(
          'MODEL_CONFIG',
          `rope scaling has ${factors.length} factors, wanted ${half} positive numbers for heads of ${headDim}`,
        );
      return unchanged(plain.map((frequency, i) => frequency / Math.fround(factors[i] as number)));
    }
    case 'llama3':
      return unchanged(plain.map((frequency) => scaleLlama3(frequency, scaling)));
    case 'yarn':
      return {
        frequencies: scaleYarn(lengths, headDim, theta, scaling),
        attentionFactor: scaling.attention_factor,
      };
  }
}

/** Long waves are stretched by the factor, short ones stay, those between are mixed. */
function scaleLlama3(frequency: number, scaling: RopeScaling & { rope_type: 'llama3' }): number {
  const { factor, low_freq_factor: low, high_freq_factor: high } = scaling;
  const original = scaling.original_max_position_embeddings;
  const wave = Math.fround((2 * Math.PI) / frequency);
  if (wave > original / low) return frequency / factor;
  if (wave < original / high) return frequency;
  const smooth = Math.fround(Math.fround(Math.fround(original / wave) - low) / (high - low));
  return Math.fround(((1 - smooth) * frequency) / factor) + Math.fround(smooth * frequency);
}

/** @source YaRN, arXiv 2309.00071 section 3.2: a ramp over the dimensions between stretched and kept */
function scaleYarn(
  lengths: Float32Array,
  headDim: number,
  theta: number,
  scaling: RopeScaling & { rope_type: 'yarn' },
): Float32Array {
  const original = scaling.original_max_position_embeddings;
  /** The dimension whose wave turns that often within the original length. */
  const dimensionOf = (turns: number): number =>
    (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const round = scaling.truncate
    ? { down: Math.floor, up: Math.ceil }
    : { down: (x: number) => x, up: (x: number) => x };
  const low = Math.max(round.down(dimensionOf(scaling.beta_fast)), 0);
  const end = Math.min(round.up(dimensionOf(scaling.beta_slow)), headDim - 1);
  const high = low === end ? end + 0.001 : end;
  return lengths.map((length, i) => {
    const ramp = Math.min(Math.max(Math.fround((i - low) / (high - low)), 0), 1);
    const kept = Math.fround(1 - ramp);
    const stretched = Math.fround(1 / Math.fround(scaling.factor * length));
    const original = Math.fround(1 / length);
    return Math.fround(stretched * Math.fround(1 - kept)) + Math.fround(original * kept);
  });
}
