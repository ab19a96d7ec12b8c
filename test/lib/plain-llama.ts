import { groupOf, type ModelShape, type ModuleName, moduleDims } from '@fleetlora/shared/graph';
import type { Genome, LayerGenome } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import { readAdapterFacts, readFloats } from '@fleetlora/shared/weights';
import { readFullWeights } from './full-weights.js';
import type { TinyModel } from './tiny-model.js';

type Values = ArrayLike<number>;
/** LoRA factors by name: `layers.i.m.A` [rankMax, in], `.B` [rankMax, out]. */
export type Factors = Map<string, Float64Array>;

/**
 * A Llama written down plainly in double precision: no graph, no cache, no slicing of weights. A
 * candidate is the full-size computation in which unused ranks, FFN channels and heads are multiplied
 * by zero, and layers that are left out add nothing, so it says what slices must equal without making
 * any. A quantised base is computed with the weights that its numbers stand for.
 * @source transformers modeling_llama.py, peft LoraLayer
 */
export interface PlainLlama {
  readonly factors: Factors;
  /**
   * Logits [ids.length][vocab]; genome null is the base without an adapter at full width. A list
   * has a genome for each position: what a cache holds that several candidates wrote to.
   */
  logits(ids: ArrayLike<number>, genome: Genome | null | readonly Genome[]): Float64Array[];
  /** Negative log-likelihood of each target of a row in nats, and the likeliest token there. */
  targets(row: TokenRow, genome: Genome | null): { nll: number; best: number; id: number }[];
  /** Mean over all targets of all rows. */
  loss(rows: readonly TokenRow[], genome: Genome): number;
}

/**
 * @param activations of the products with quantised matrices: as they are, or rounded as the kernels
 *   round them, to 127 steps of the largest of each 32
 * @param onInput told of what goes into each linear module at each position
 */
export async function readPlainLlama(
  { shape, base, adapter }: TinyModel,
  activations: 'exact' | 'rounded' = 'exact',
  onInput?: (layer: number, module: ModuleName, x: Float64Array) => void,
): Promise<PlainLlama> {
  const weights = await readFullWeights(base.file);
  const rounds = activations === 'rounded' && (base.file.metadata.precision ?? 'fp32') !== 'fp32';
  const asMultiplied = (x: Values): Values => (rounds ? roundBlocks(x) : x);
  const factors: Factors = new Map();
  for (const name of adapter.file.tensors.keys())
    factors.set(name, Float64Array.from(await readFloats(adapter.file, name)));
  const { alpha, rankMax } = readAdapterFacts(adapter.file);
  const weight = (name: string): Float32Array => weights.get(name) as Float32Array;

  const logits: PlainLlama['logits'] = (ids, genome) => {
    const genesAt = (position: number, layer: number): LayerGenome | undefined =>
      (isList(genome) ? genome[position] : genome)?.layers[layer];
    const linear = (layer: number, module: ModuleName, x: Values, position: number): Float64Array => {
      const [input, output] = moduleDims(shape, module);
      const name = `layers.${layer}.${module}`;
      const stored = weight(name);
      // The base stores down as [in, out], every other matrix as [out, in].
      const [perOutput, perInput] = module === 'down' ? [1, output] : [input, 1];
      const y = new Float64Array(output);
      const multiplied = asMultiplied(x);
      onInput?.(layer, module, Float64Array.from(multiplied));
      const bias = weights.get(`${name}.bias`);
      for (let o = 0; o < output; o++) {
        let sum = bias?.[o] ?? 0;
        for (let i = 0; i < input; i++)
          sum += (stored[o * perOutput + i * perInput] as number) * (multiplied[i] as number);
        y[o] = sum;
      }
      const a = factors.get(`${name}.A`);
      const b = factors.get(`${name}.B`);
      const rank = genesAt(position, layer)?.ranks[groupOf[module]] ?? 0;
      if (!a || !b) return y;
      for (let r = 0; r < rank; r++) {
        let low = 0;
        for (let i = 0; i < input; i++) low += (a[r * input + i] as number) * (x[i] as number);
        for (let o = 0; o < output; o++)
          y[o] = (y[o] as number) + (alpha / rankMax) * low * (b[r * output + o] as number);
      }
      return y;
    };

    /** Attention in which heads that are not kept say nothing. */
    const attended = (
      q: Float64Array,
      k: readonly Float64Array[],
      v: readonly Float64Array[],
      position: number,
      layer: number,
    ): Float64Array => {
      const kept = genesAt(position, layer)?.kvHeads ?? shape.kvHeads;
      const size = kept * (shape.heads / shape.kvHeads) * shape.headDim;
      return attend(q, k, v, position, shape).map((value, at) => (at < size ? value : 0));
    };

    let hidden: Float64Array[] = Array.from(ids, (id) =>
      Float64Array.from(weight('embed').subarray(id * shape.hidden, (id + 1) * shape.hidden)),
    );
    for (let layer = 0; layer < shape.layers; layer++) {
      const before = hidden;
      const normed = hidden.map((x) => rmsNorm(x, weight(`layers.${layer}.inputNorm`), shape));
      const q = normed.map((x, position) => rotate(linear(layer, 'q', x, position), position, shape));
      const k = normed.map((x, position) => rotate(linear(layer, 'k', x, position), position, shape));
      const v = normed.map((x, position) => linear(layer, 'v', x, position));
      hidden = hidden.map((x, position) =>
        add(x, linear(layer, 'o', attended(q[position] as Float64Array, k, v, position, layer), position)),
      );
      hidden = hidden.map((x, position) => {
        const width = genesAt(position, layer)?.width ?? shape.ffnWidth;
        const post = rmsNorm(x, weight(`layers.${layer}.postNorm`), shape);
        const gate = linear(layer, 'gate', post, position);
        const up = linear(layer, 'up', post, position);
        const active = gate.map((g, channel) =>
          channel < width ? (g / (1 + Math.exp(-g))) * (up[channel] as number) : 0,
        );
        return add(x, linear(layer, 'down', active, position));
      });
      hidden = hidden.map((x, position) =>
        genesAt(position, layer)?.skipped ? (before[position] as Float64Array) : x,
      );
    }
    const head = weight(shape.tiedHead ? 'embed' : 'head');
    return hidden.map((x) => {
      const out = Float64Array.from(asMultiplied(rmsNorm(x, weight('norm'), shape)));
      return Float64Array.from({ length: shape.vocab }, (_, token) =>
        dot(head.subarray(token * shape.hidden), out),
      );
    });
  };

  const targets: PlainLlama['targets'] = (row, genome) => {
    const all = logits(row.ids, genome);
    return Array.from(row.ids.subarray(row.targetStart), (id, index) => {
      const values = all[row.targetStart + index - 1] as Float64Array;
      const largest = Math.max(...values);
      const sum = values.reduce((total, value) => total + Math.exp(value - largest), 0);
      return { id, best: values.indexOf(largest), nll: largest + Math.log(sum) - (values[id] as number) };
    });
  };
  return {
    factors,
    logits,
    targets,
    loss(rows, genome) {
      const losses = rows.flatMap((row) => targets(row, genome).map(({ nll }) => nll));
      return losses.reduce((sum, nll) => sum + nll, 0) / losses.length;
    },
  };
}

/** As accuracy level 4 of MatMulNBits says: 8 bits a block of 32 inputs. */
function roundBlocks(x: Values): Float64Array {
  const rounded = Float64Array.from(x);
  for (let from = 0; from < rounded.length; from += 32) {
    const block = rounded.subarray(from, from + 32);
    const step = Math.max(...block.map(Math.abs)) / 127;
    block.forEach((value, i) => {
      block[i] = step === 0 ? 0 : Math.round(value / step) * step;
    });
  }
  return rounded;
}

const isList = (genome: Genome | null | readonly Genome[]): genome is readonly Genome[] =>
  Array.isArray(genome);
const add = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value + (b[i] as number));
/** Over the length of `b`. */
export function dot(a: Values, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

export function rmsNorm(
  x: Float64Array,
  gain: Values,
  { rmsEpsilon }: Pick<ModelShape, 'rmsEpsilon'>,
): Float64Array {
  const inverse = 1 / Math.sqrt(dot(x, x) / x.length + rmsEpsilon);
  return x.map((value, i) => value * inverse * (gain[i] as number));
}

/** Rotary positions: within each head, element i turns with element i + headDim / 2. */
export function rotate(
  x: Float64Array,
  position: number,
  { headDim, ropeTheta }: Pick<ModelShape, 'headDim' | 'ropeTheta'>,
): Float64Array {
  const half = headDim / 2;
  return x.map((value, index) => {
    const i = index % headDim;
    const angle = position * ropeTheta ** ((-2 * (i % half)) / headDim);
    const partner = i < half ? -(x[index + half] as number) : (x[index - half] as number);
    return value * Math.cos(angle) + partner * Math.sin(angle);
  });
}

/** Causal attention of one query over a window's positions up to its own; heads share keys in groups. */
export function attend(
  q: Float64Array,
  keys: readonly Float64Array[],
  values: readonly Float64Array[],
  position: number,
  {
    heads,
    kvHeads,
    headDim,
    slidingWindow = position + 1,
  }: Pick<ModelShape, 'heads' | 'kvHeads' | 'headDim' | 'slidingWindow'>,
): Float64Array {
  const first = Math.max(position + 1 - slidingWindow, 0);
  const out = new Float64Array(heads * headDim);
  for (let head = 0; head < heads; head++) {
    const from = Math.floor(head / (heads / kvHeads)) * headDim;
    const query = q.subarray(head * headDim, (head + 1) * headDim);
    const scores = keys
      .slice(first, position + 1)
      .map((key) => dot(key.subarray(from), query) / Math.sqrt(headDim));
    const largest = Math.max(...scores);
    const exponents = scores.map((score) => Math.exp(score - largest));
    const sum = exponents.reduce((total, value) => total + value, 0);
    exponents.forEach((exponent, at) => {
      for (let d = 0; d < headDim; d++)
        out[head * headDim + d] =
          (out[head * headDim + d] as number) +
          (exponent / sum) * ((values[first + at] as Float64Array)[from + d] as number);
    });
  }
  return out;
}
