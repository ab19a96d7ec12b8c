import type { Genome, LayerGenome } from '../space/genome.js';
import { bindRows, type GraphWeights } from './graph-weights.js';
import { bindLora, type LoraSource } from './lora.js';
import { type ModelShape, type ModuleName, moduleDims } from './model-shape.js';
import { GraphBuilder } from './onnx-writer.js';

/** One forward graph over mapped weights. */
export interface InferenceGraphOptions {
  readonly shape: ModelShape;
  readonly weights: GraphWeights;
  /** Widths always, ranks when `lora` is `constants`, and which are 0 when it is `timedInputs`. */
  readonly genome: Genome;
  readonly lora: LoraSource;
  /** Modules that have LoRA inputs; only used when `lora` is `inputs`. */
  readonly loraModules?: readonly ModuleName[];
  /** Multiplies B·A: alpha / rankMax for every rank (LoNAS, Shears). `timedInputs` have it in B. */
  readonly loraScale: number;
  /** `logits`: logits [N, vocab]. `scores`: nll [N] in nats and best [N], the argmax token. */
  readonly head: 'logits' | 'scores';
  /** Capacity of the KV cache in tokens; 0 leaves the cache out. */
  readonly cachePositions: number;
}

/**
 * The graph of a candidate.
 *
 * Inputs: `ids` i64 [B, S], right-padded; `rows` i64 [N], the positions in the flattened [B·S] whose
 * logits are wanted; `last` i32 [B], total length - 1 of each row; `total` i32 [1], the longest
 * total length. With head `scores`: `targets` i64 [N]. With a cache: `past.i.key|value`
 * f32 [B, kvHeads, cachePositions, headDim], which `present.i.*` may share memory with. With
 * LoRA inputs: `layers.i.m.A|B`, laid out as `LoraSource` says.
 *
 * From the last layer's output projection on only the N wanted rows are computed.
 * @source com.microsoft.GroupQueryAttention, SkipSimplifiedLayerNormalization (ONNX Runtime 1.30)
 */
export function buildInferenceGraph(options: InferenceGraphOptions): Uint8Array {
  const { shape, weights, genome, lora, loraScale, head, cachePositions } = options;
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

  /** y = x·W (+ scale·(x·Aᵀ)·B): [T, in] → [T, out]; the sum is fused into the last Gemm. */
  const linear = (layer: number, module: ModuleName, x: string, genes: LayerGenome): string => {
    const [inDim, outDim] = moduleDims(shape, module, genes.width);
    const stored = module === 'down' ? [inDim, outDim] : [outDim, inDim];
    const weight = bindRows(builder, weights, `layers.${layer}.${module}`, stored);
    const base = builder.node('Gemm', [x, weight], module === 'down' ? {} : { transB: 1 });
    const source = lora === 'inputs' && !options.loraModules?.includes(module) ? 'none' : lora;
    const factors = bindLora(builder, source, weights, shape, layer, module, genes);
    if (!factors) return base;
    const timed = lora === 'timedInputs';
    const low = builder.node('Gemm', [x, factors.a], timed ? {} : { transB: 1 });
    return builder.node('Gemm', [low, factors.b, base], timed ? {} : { alpha: { float: loraScale } });
  };

  const attention = (layer: number, x: string, genes: LayerGenome): string => {
    const q = threeDims(linear(layer, 'q', x, genes), shape.heads * shape.headDim);
    const k = threeDims(linear(layer, 'k', x, genes), shape.kvHeads * shape.headDim);
    const v = threeDims(linear(layer, 'v', x, genes), shape.kvHeads * shape.headDim);
    const cache = ['B', shape.kvHeads, cachePositions, shape.headDim];
    const slots = cachePositions === 0 ? [] : ['key', 'value'];
    const past = slots.map((slot) => builder.input(`past.${layer}.${slot}`, 'float32', cache));
    const present = slots.map((slot) => `present.${layer}.${slot}`);
    for (const name of present) builder.output(name, 'float32', cache);
    const [out = ''] = builder.operator(
      'GroupQueryAttention',
      [q, k, v, past[0] ?? '', past[1] ?? '', last, total, table('rope.cos'), table('rope.sin')],
      present.length > 0 ? [`attention.${layer}`, ...present] : 3,
      { num_heads: shape.heads, kv_num_heads: shape.kvHeads, do_rotary: 1 },
    );
    return twoDims(out, shape.heads * shape.headDim);
  };

  const feedForward = (layer: number, x: string, genes: LayerGenome): string => {
    const gate = linear(layer, 'gate', x, genes);
    const up = linear(layer, 'up', x, genes);
    // SiLU is QuickGelu at alpha 1.
    const active = builder.node('QuickGelu', [gate], { alpha: { float: 1 } });
    return linear(layer, 'down', builder.node('Mul', [active, up]), genes);
  };

  const embed = bindRows(builder, weights, 'embed', [shape.vocab, shape.hidden]);
  let residual = twoDims(builder.node('Gather', [embed, ids]), shape.hidden);
  let normed = builder.node(
    'SimplifiedLayerNormalization',
    [residual, vector('layers.0.inputNorm')],
    epsilon,
  );
  genome.layers.forEach((genes, layer) => {
    let attended = attention(layer, normed, genes);
    if (layer === genome.layers.length - 1) {
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
    const next = layer + 1 < genome.layers.length ? `layers.${layer + 1}.inputNorm` : 'norm';
    addAndNorm(feedForward(layer, normed, genes), next);
  });

  const headMatrix = shape.tiedHead ? embed : bindRows(builder, weights, 'head', [shape.vocab, shape.hidden]);
  const logits = builder.node('Gemm', [normed, headMatrix], { transB: 1 }, 'logits');
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
