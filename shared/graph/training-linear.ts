import type { Precision } from '../space/genome.js';
import { quantBlock } from './base-layout.js';
import { bindBias, bindRows, type WeightFile } from './graph-weights.js';
import { groupOf, loraName } from './lora.js';
import { storedProduct } from './masked-product.js';
import { type ModelShape, type ModuleName, moduleDims } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';
import {
  appendMaskedGradients,
  appendMaskedWeight,
  type MaskedTape,
  type NumberSteps,
  stepsName,
} from './training-masked.js';

/** Which sizes of a layer are decided at run time; what is not is computed without a copy of weights. */
export interface LayerElasticity {
  /** FFN channels: `width.i`. */
  readonly width: boolean;
  /** Key/value heads with their query heads: `kvHeads.i`. */
  readonly kvHeads: boolean;
  /** The layer may be left out: `keep.i`. */
  readonly skip: boolean;
}

export interface TrainingLinearOptions {
  readonly shape: ModelShape;
  readonly base: WeightFile;
  readonly rankMax: number;
  readonly loraScale: number;
  readonly modules: readonly ModuleName[];
  readonly elastic: readonly LayerElasticity[];
  /**
   * Adapters count only where weights are not 0. In q8 or q4 the weights are those of a base in these numbers,
   * whose file also has the steps between them (dequantiseBase), and follow the adapters by whole steps.
   */
  readonly masked?: Precision | undefined;
}

/** What a linear module keeps from its forward pass for the backward one. */
export interface LinearTape {
  readonly x: string;
  readonly weight: string;
  /** x·Aᵀ, [T, r], with the sliced factors; null without an adapter beside the weight. */
  readonly lora: { readonly low: string; readonly a: string; readonly b: string } | null;
  /** Of a masked module, whose adapter is in the weight; null otherwise. */
  readonly masked: MaskedTape | null;
}

export interface TrainingLinear {
  forward(layer: number, module: ModuleName, x: string): { readonly out: string; readonly tape: LinearTape };
  /** Emits the module's LoRA gradients; returns dx [T, in] (+ `sum`), or '' when it is not wanted. */
  backward(
    layer: number,
    module: ModuleName,
    tape: LinearTape,
    dy: string,
    wanted: { readonly dx: 'none' } | { readonly dx: 'needed'; readonly sum?: string },
  ): string;
}

/**
 * Linear modules of a training graph: y = x·Wᵀ + bias + scale·(x·Aᵀ)·B over prefixes whose ends are
 * inputs. Heads are whole groups, so that what is left out are columns of o and rows of q, k and v.
 */
export function createTrainingLinear(builder: GraphBuilder, options: TrainingLinearOptions): TrainingLinear {
  const { shape, base, rankMax, loraScale } = options;
  const weights = { base, overlay: null };
  const node = builder.node.bind(builder);
  const zero = builder.constant([0]);
  const one = builder.constant([1]);
  const scale = { alpha: { float: loraScale } };
  const ends = options.elastic.map(({ kvHeads }, layer) => {
    if (!kvHeads) return { q: null, kv: null };
    const kept = `kvHeads.${layer}`;
    const group = (shape.heads / shape.kvHeads) * shape.headDim;
    return {
      q: node('Mul', [kept, builder.constant([group])]),
      kv: node('Mul', [kept, builder.constant([shape.headDim])]),
    };
  });
  /** Names of the run-time sizes of a module's sides; null for a side that is never cut. */
  const sidesOf = (layer: number, module: ModuleName): { input: string | null; output: string | null } => {
    const { q = null, kv = null } = ends[layer] ?? {};
    const width = options.elastic[layer]?.width ? `width.${layer}` : null;
    switch (module) {
      case 'q':
        return { input: null, output: q };
      case 'k':
      case 'v':
        return { input: null, output: kv };
      case 'o':
        return { input: q, output: null };
      case 'gate':
      case 'up':
        return { input: null, output: width };
      case 'down':
        return { input: width, output: null };
    }
  };
  /** First `end` (a run-time i64 [1]) entries of an axis; all without an end. */
  const prefix = (x: string, end: string | null, axis: 0 | 1): string =>
    end === null ? x : node('Slice', [x, zero, end, axis === 0 ? zero : one]);

  /** Steps that a masked module's weights are rounded to, cut as the weights are; null beside floats. */
  const stepsOf = (
    layer: number,
    module: ModuleName,
    input: string | null,
    output: string | null,
  ): NumberSteps | null => {
    const { masked: precision } = options;
    if (precision === undefined || precision === 'fp32') return null;
    const [inDim, outDim] = moduleDims(shape, module);
    const blocks = inDim / quantBlock;
    const isDown = module === 'down';
    const whole = bindRows(
      builder,
      weights,
      stepsName(layer, module),
      isDown ? [blocks, outDim] : [outDim, blocks],
    );
    const inputBlocks = input && node('Div', [input, builder.constant([quantBlock])]);
    const steps = prefix(prefix(whole, output, isDown ? 1 : 0), inputBlocks, isDown ? 0 : 1);
    return { precision, steps, downColumns: isDown ? outDim : null };
  };

  return {
    forward(layer, module, x) {
      const [inDim, outDim] = moduleDims(shape, module);
      const { input, output } = sidesOf(layer, module);
      const stored = module === 'down' ? [inDim, outDim] : [outDim, inDim];
      const name = `layers.${layer}.${module}`;
      const cutInput = module === 'down' ? 0 : 1;
      const weight = prefix(
        prefix(bindRows(builder, weights, name, stored), output, cutInput === 0 ? 1 : 0),
        input,
        cutInput,
      );
      const bias = bindBias(builder, weights, shape, layer, module, outDim);
      const addend = bias.map((vector) => prefix(vector, output, 0));
      const multiply = (matrix: string): string =>
        node('Gemm', [x, matrix, ...addend], module === 'down' ? {} : { transB: 1 });
      if (!options.modules.includes(module))
        return { out: multiply(weight), tape: { x, weight, lora: null, masked: null } };
      const rank = `rank.${layer}.${groupOf[module]}`;
      const factor = (kind: 'A' | 'B', columns: number, end: string | null): string => {
        const whole = builder.input(loraName(layer, module, kind), 'float32', [rankMax, columns]);
        return prefix(prefix(whole, rank, 0), end, 1);
      };
      const a = factor('A', inDim, input);
      const b = factor('B', outDim, output);
      if (options.masked !== undefined) {
        const product = storedProduct(module, { a, b }, loraScale);
        const masked = appendMaskedWeight(builder, weight, product, stepsOf(layer, module, input, output));
        const tape = { x, weight: masked.weight, lora: null, masked: masked.tape };
        return { out: multiply(masked.weight), tape };
      }
      const out = multiply(weight);
      const low = node('Gemm', [x, a], { transB: 1 });
      return {
        out: node('Gemm', [low, b, out], scale),
        tape: { x, weight, lora: { low, a, b }, masked: null },
      };
    },

    backward(layer, module, tape, dy, wanted) {
      if (tape.masked) appendMaskedGradients(builder, { layer, module }, tape.masked, tape.x, dy);
      let dLow = '';
      if (tape.lora) {
        const { low, b } = tape.lora;
        const gradB = `grad.${loraName(layer, module, 'B')}`;
        const gradA = `grad.${loraName(layer, module, 'A')}`;
        node('Gemm', [low, dy], { transA: 1, ...scale }, gradB);
        dLow = node('Gemm', [dy, b], { transB: 1, ...scale });
        node('Gemm', [dLow, tape.x], { transA: 1 }, gradA);
        builder.output(gradA, 'float32', ['?', '?']);
        builder.output(gradB, 'float32', ['?', '?']);
      }
      if (wanted.dx === 'none') return '';
      const through = node(
        'Gemm',
        [dy, tape.weight, ...(wanted.sum ? [wanted.sum] : [])],
        module === 'down' ? { transB: 1 } : {},
      );
      return tape.lora ? node('Gemm', [dLow, tape.lora.a, through]) : through;
    },
  };
}
