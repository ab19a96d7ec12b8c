import type { Genome, LayerGenome } from '../space/genome.js';
import type { BaseLayout } from './base-layout.js';
import { appendBaseProduct, appendEmbedding, appendHead } from './base-product.js';
import { bindRows, type GraphWeights } from './graph-weights.js';
import { inputModules, outputSquares } from './input-squares.js';
import { activeLayers, cutShape } from './layer-cut.js';
import { bindLora, type LoraSource } from './lora.js';
import { appendMaskedProduct } from './masked-product.js';
import { type ModuleName, moduleDims } from './model-shape.js';
import { GraphBuilder } from './onnx-writer.js';

/** One forward graph over mapped weights. */
export interface InferenceGraphOptions {
  readonly layout: BaseLayout;
  readonly weights: GraphWeights;
  /**
   * One that fits the base (`checkFit`). Widths, heads and layers left out count always, ranks when
   * `lora` is `constants`, and which are 0 when it is `timedInputs`.
   */
  readonly genome: Genome;
  readonly lora: LoraSource;
  /** Modules that have LoRA inputs; only used when `lora` is `inputs`. */
  readonly loraModules?: readonly ModuleName[];
  /** Multiplies B·A: alpha / rankMax for every rank (LoNAS, Shears). `timedInputs` have it in B. */
  readonly loraScale: number;
  /** The product of factors counts only where the base's weight is not 0 (`masked-product.ts`). */
  readonly masked?: boolean;
  /**
   * `logits`: logits [N, vocab]. `scores`: nll [N] in nats and best [N], the argmax token.
   * `inputSquares`: those of outputSquares, over the N rows, and nothing after the last layer.
   */
  readonly head: 'logits' | 'scores' | 'inputSquares';
  /** Capacity of the KV cache in tokens; 0 leaves the cache out. */
  readonly cachePositions: number;
}

/**
 * The graph of a candidate.
 *
 * Inputs: `ids` i64 [B, S], right-padded; `rows` i64 [N], the positions in the flattened [B·S] whose
 * logits are wanted; `last` i32 [B], total length - 1 of each row; `total` i32 [1], the longest
 * total length. With head `scores`: `targets` i64 [N]. With a cache: `past.i.key|value` of every
 * layer i that is not left out, f32 [B, kvHeads of the layer, cachePositions, headDim], which
 * `present.i.*` may share memory with. With LoRA inputs: `layers.i.m.A|B`, laid out as `LoraSource`
 * says.
 *
 * From the last of these layers' output projection on only the N wanted rows are computed. Heads are
 * kept as key/value heads with all their query heads, so a cut layer is one of a smaller model.
 * @source com.microsoft.GroupQueryAttention, SkipSimplifiedLayerNormalization (ONNX Runtime 1.30)
 */
export function buildInferenceGraph(options: InferenceGraphOptions): Uint8Array {
  const { layout, weights, genome, lora, loraScale, head, cachePositions } = options;
  const { shape } = layout;
  const builder = new GraphBuilder('fleetlora');
  const epsilon = { epsilon: { float: shape.rmsEpsilon } };
  const ids = builder.input('ids', 'int64', ['B', 'S']);
  const rows = builder.input('rows', 'int64', ['N']);
  const last = builder.input('last', 'int32', ['B']);
  const total = builder.input('total', 'int32', [1]);

  const vector = (name: string): string => bindRows(builder, weights, name, [shape.hidden]);
  const table = (name: string): string =>
    bindRows(builder, weights, name, [shape.positions, shape.headDim / 2]);
  const tokenDims = builder.node('Shape', [ids]);
  const threeDims = (x: string, width: number): string =>
    builder.node('Reshape', [x, builder.node('Concat', [tokenDims, builder.constant([width])], { axis: 0 })]);
  const twoDims = (x: string, width: number): string =>
    builder.node('Reshape', [x, builder.constant([-1, width])]);

  const layers = activeLayers(genome);
  /** Squares of what goes into a module; behind the last attention that is the wanted rows already. */
  const squareInputs = (layer: number, module: ModuleName, x: string, genes: LayerGenome): void => {
    const own = inputModules.find((one) => one === module);
    if (own === undefined) return;
    const [inputs] = moduleDims(cutShape(shape, genes), own);
    const isPicked = layer === layers.at(-1)?.layer && own !== 'q';
    outputSquares(builder, { layer, module: own, inputs }, x, isPicked ? null : rows);
  };

  /** y = x·W (+ scale·(x·Aᵀ)·B): [T, in] → [T, out]; the sum is fused into the last Gemm. */
  const linear = (layer: number, module: ModuleName, x: string, genes: LayerGenome): string => {
    const source = lora === 'inputs' && !options.loraModules?.includes(module) ? 'none' : lora;
    const factors = bindLora(builder, source, weights, shape, layer, module, genes);
    if (head === 'inputSquares') squareInputs(layer, module, x, genes);
    if (factors && options.masked)
      return appendMaskedProduct(
        builder,
        { weights, layout },
        { layer, module, genes },
        x,
        factors,
        loraScale,
      );
    const base = appendBaseProduct(builder, { weights, layout }, layer, module, genes, x);
    if (!factors) return base;
    const timed = lora === 'timedInputs';
    const low = builder.node('Gemm', [x, factors.a], timed ? {} : { transB: 1 });
    return builder.node('Gemm', [low, factors.b, base], timed ? {} : { alpha: { float: loraScale } });
  };

  const attention = (layer: number, x: string, genes: LayerGenome): string => {
    const { heads, kvHeads, headDim } = cutShape(shape, genes);
    const q = threeDims(linear(layer, 'q', x, genes), heads * headDim);
    const k = threeDims(linear(layer, 'k', x, genes), kvHeads * headDim);
    const v = threeDims(linear(layer, 'v', x, genes), kvHeads * headDim);
    const cache = ['B', kvHeads, cachePositions, headDim];
    const slots = cachePositions === 0 ? [] : ['key', 'value'];
    const past = slots.map((slot) => builder.input(`past.${layer}.${slot}`, 'float32', cache));
    const present = slots.map((slot) => `present.${layer}.${slot}`);
    for (const name of present) builder.output(name, 'float32', cache);
    const [out = ''] = builder.operator(
      'GroupQueryAttention',
      [q, k, v, past[0] ?? '', past[1] ?? '', last, total, table('rope.cos'), table('rope.sin')],
      present.length > 0 ? [`attention.${layer}`, ...present] : 3,
      {
        num_heads: heads,
        kv_num_heads: kvHeads,
        do_rotary: 1,
        ...(shape.slidingWindow !== undefined && { local_window_size: shape.slidingWindow }),
      },
    );
    return twoDims(out, heads * headDim);
  };

  const feedForward = (layer: number, x: string, genes: LayerGenome): string => {
    const gate = linear(layer, 'gate', x, genes);
    const up = linear(layer, 'up', x, genes);
    // SiLU is QuickGelu at alpha 1.
    const active = builder.node('QuickGelu', [gate], { alpha: { float: 1 } });
    return linear(layer, 'down', builder.node('Mul', [active, up]), genes);
  };

  const firstNorm = layers[0] === undefined ? 'norm' : `layers.${layers[0].layer}.inputNorm`;
  let residual = twoDims(appendEmbedding(builder, { weights, layout }, ids), shape.hidden);
  let normed = builder.node('SimplifiedLayerNormalization', [residual, vector(firstNorm)], epsilon);
  layers.forEach(({ layer, genes }, index) => {
    let attended = attention(layer, normed, genes);
    const next = layers[index + 1];
    if (next === undefined) {
      attended = builder.node('Gather', [attended, rows]);
      residual = builder.node('Gather', [residual, rows]);
    }
    const addAndNorm = (branch: string, norm: string): void => {
      const [out = '', , , sum = ''] = builder.operator(
        'SkipSimplifiedLayerNormalization',
        [residual, branch, vector(norm)],
        [`${norm}.out`, '', '', `${norm}.sum`],
        epsilon,
      );
      normed = out;
      residual = sum;
    };
    addAndNorm(linear(layer, 'o', attended, genes), `layers.${layer}.postNorm`);
    addAndNorm(feedForward(layer, normed, genes), next ? `layers.${next.layer}.inputNorm` : 'norm');
  });

  if (head === 'inputSquares') return builder.finish();
  const logits = appendHead(builder, { weights, layout }, normed, 'logits');
  if (head === 'logits') {
    builder.output('logits', 'float32', ['N', shape.vocab]);
    return builder.finish();
  }
  const targets = builder.input('targets', 'int64', ['N']);
  const logProbabilities = builder.node('LogSoftmax', [logits], { axis: 1 });
  const column = builder.node('Unsqueeze', [targets, builder.constant([1])]);
  const chosen = builder.node('GatherElements', [logProbabilities, column], { axis: 1 });
  builder.node('Neg', [builder.node('Squeeze', [chosen, builder.constant([1])])], {}, 'nll');
  builder.node('ArgMax', [logits], { axis: 1, keepdims: 0 }, 'best');
  builder.output('nll', 'float32', ['N']);
  builder.output('best', 'int64', ['N']);
  return builder.finish();
}
