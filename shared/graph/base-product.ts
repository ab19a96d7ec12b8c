import type { LayerGenome } from '../space/genome.js';
import { type QuantPrecision, quantBits } from '../weights/quantise.js';
import { type BaseLayout, quantBlock } from './base-layout.js';
import { bindBias, bindBlock, bindRows, type GraphWeights } from './graph-weights.js';
import { cutShape } from './layer-cut.js';
import { type ModuleName, moduleDims } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';
import {
  bindChunks,
  bindQuantised,
  chunksOf,
  multiplyQuantised,
  type QuantisedConstant,
} from './quantised-weights.js';

/** The files of a model and how its base is stored. */
export interface BaseWeights {
  readonly weights: GraphWeights;
  readonly layout: BaseLayout;
}

/** A linear module of a quantised base, cut to a layer's choices. */
export function bindQuantisedModule(
  builder: GraphBuilder,
  { weights, layout }: BaseWeights,
  precision: QuantPrecision,
  layer: number,
  module: ModuleName,
  genes: LayerGenome,
): QuantisedConstant {
  const [input, output] = moduleDims(cutShape(layout.shape, genes), module);
  const name = `layers.${layer}.${module}`;
  const { shape, ffnChunks } = layout;
  if (module === 'down')
    return bindChunks(builder, weights.base, precision, output, chunksOf(name, ffnChunks, input));
  if (module === 'o') {
    const group = (shape.heads / shape.kvHeads) * shape.headDim;
    const sizes = Array.from({ length: shape.kvHeads }, () => group);
    return bindChunks(builder, weights.base, precision, output, chunksOf(name, sizes, input));
  }
  return bindQuantised(builder, weights.base, precision, name, output, input);
}

/**
 * x·W (+ bias) of a linear module, cut to a layer's choices: [T, in] → [T, out]. A cut of the outputs is a
 * prefix of rows; one of o's inputs, in fp32, a Slice on the constant, which is folded at load.
 * @param constants where constants are cut and joined: the outermost graph, when `builder` is not it
 */
export function appendBaseProduct(
  builder: GraphBuilder,
  base: BaseWeights,
  layer: number,
  module: ModuleName,
  genes: LayerGenome,
  x: string,
  constants: GraphBuilder = builder,
): string {
  const { weights, layout } = base;
  const [, output] = moduleDims(cutShape(layout.shape, genes), module);
  const bias = bindBias(constants, weights, layout.shape, layer, module, output);
  if (layout.precision !== 'fp32') {
    const constant = bindQuantisedModule(constants, base, layout.precision, layer, module, genes);
    return multiplyQuantised(builder, layout.precision, x, constant, bias);
  }
  const weight = bindBaseMatrix(constants, base, layer, module, genes);
  return builder.node('Gemm', [x, weight, ...bias], module === 'down' ? {} : { transB: 1 });
}

/** A linear module of an fp32 base, cut to a layer's choices: [out, in], of down [in, out]. */
export function bindBaseMatrix(
  builder: GraphBuilder,
  { weights, layout }: BaseWeights,
  layer: number,
  module: ModuleName,
  genes: LayerGenome,
): string {
  const [input, output] = moduleDims(cutShape(layout.shape, genes), module);
  const name = `layers.${layer}.${module}`;
  if (module === 'down') return bindRows(builder, weights, name, [input, output]);
  return module === 'o'
    ? bindBlock(builder, weights, name, output, input)
    : bindRows(builder, weights, name, [output, input]);
}

/**
 * Rows of the embedding, [..] → [.., hidden].
 * @source com.microsoft.GatherBlockQuantized, ONNX Runtime 1.30: it takes the numbers as a matrix
 */
export function appendEmbedding(
  builder: GraphBuilder,
  { weights, layout }: BaseWeights,
  ids: string,
): string {
  const { shape, tablePrecision: precision } = layout;
  if (precision === 'fp32')
    return builder.node('Gather', [bindRows(builder, weights, 'embed', [shape.vocab, shape.hidden]), ids]);
  const { q, scale } = bindQuantised(builder, weights.base, precision, 'embed', shape.vocab, shape.hidden);
  const rowBytes = (shape.hidden * quantBits[precision]) / 8;
  // The same bytes under a second name: a Reshape would be folded into a copy of them.
  const matrix = builder.external(
    `${q}.matrix`,
    [shape.vocab, rowBytes],
    {
      fileName: weights.base.fileName,
      offset: weights.base.file.tensors.get(q)?.offset ?? 0,
      bytes: shape.vocab * rowBytes,
    },
    'uint8',
  );
  return builder.node('GatherBlockQuantized', [matrix, ids, scale], {
    gather_axis: 0,
    quantize_axis: 1,
    block_size: quantBlock,
    bits: quantBits[precision],
  });
}

/** Logits of hidden states: [N, hidden] → [N, vocab]. */
export function appendHead(
  builder: GraphBuilder,
  { weights, layout }: BaseWeights,
  x: string,
  output?: string,
): string {
  const { shape, tablePrecision: precision } = layout;
  const name = shape.tiedHead ? 'embed' : 'head';
  if (precision === 'fp32') {
    const matrix = bindRows(builder, weights, name, [shape.vocab, shape.hidden]);
    return builder.node('Gemm', [x, matrix], { transB: 1 }, output);
  }
  const constant = bindQuantised(builder, weights.base, precision, name, shape.vocab, shape.hidden);
  return multiplyQuantised(builder, precision, x, constant, [], output);
}
