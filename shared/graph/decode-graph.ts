import type { Genome, LayerGenome } from '../space/genome.js';
import type { BaseLayout } from './base-layout.js';
import {
  appendBaseProduct,
  appendEmbedding,
  appendHead,
  type BaseWeights,
  bindQuantisedModule,
} from './base-product.js';
import { bindBias, bindRows, type GraphWeights } from './graph-weights.js';
import { activeLayers, cutShape } from './layer-cut.js';
import { bindLora, type LoraFactors, type LoraSource } from './lora.js';
import { type ModuleName, moduleDims } from './model-shape.js';
import { appendNextToken } from './next-token.js';
import { GraphBuilder } from './onnx-writer.js';
import { multiplyQuantised, stackOutputs } from './quantised-weights.js';

/** A graph that writes several tokens in one run. */
export interface DecodeGraphOptions {
  readonly layout: BaseLayout;
  readonly weights: GraphWeights;
  /** One that fits the base (`checkFit`). */
  readonly genome: Genome;
  /** Factors are constants here, or there are none. */
  readonly lora: Extract<LoraSource, 'none' | 'constants'>;
  /** Multiplies B·A: alpha / rankMax for every rank. */
  readonly loraScale: number;
}

/**
 * The graph of a candidate that appends tokens and then writes further ones, choosing each itself.
 *
 * Inputs: `count` i64, how many tokens to write at most; `ids` i64 [1, S], to append first; `total`
 * i32 [1], the length with them; `stops` i64 [K], tokens after which it writes no more; `temperature`
 * f32, 0 for the likeliest token; `draws` f32 [count], from [0, 1), one for each token; `past.i.key|value`
 * of every layer i that is not left out, f32 [1, kvHeads of the layer, P, headDim], of whose rows the
 * first total - S count. Outputs: `written` i64 [n], a stop token among them as the last; `present.i.*`,
 * where all but the last written token are appended too, with no more rows than tokens unless P is more:
 * every iteration clears and copies all rows.
 *
 * A Loop, one iteration a token: between two of them nothing goes to the caller and back. To return a
 * cache costs as much as a few layers, since the binding copies every output; here a chunk of tokens
 * shares that. Projections of one input are one product where the base is quantised, where a small
 * product does not use the memory's whole speed.
 * @source ONNX Loop 21; com.microsoft.GroupQueryAttention with packed q, k and v (ONNX Runtime 1.30)
 */
export function buildDecodeGraph(options: DecodeGraphOptions): Uint8Array {
  const { layout, genome } = options;
  const { headDim } = layout.shape;
  const builder = new GraphBuilder('fleetlora');
  const count = builder.input('count', 'int64', []);
  const ids = builder.input('ids', 'int64', [1, 'S']);
  const total = builder.input('total', 'int32', [1]);
  const stops = builder.input('stops', 'int64', ['K']);
  const temperature = builder.input('temperature', 'float32', []);
  const draws = builder.input('draws', 'float32', ['count']);
  const one = builder.node('Cast', [builder.constant([1])], { to: INT32 });
  const caches = activeLayers(genome).flatMap(({ layer, genes }) => {
    const dims = [1, cutShape(layout.shape, genes).kvHeads, 'P', headDim];
    return ['key', 'value'].map((kind) => ({ name: `${layer}.${kind}`, dims }));
  });
  const past = caches.map(({ name, dims }) => builder.input(`past.${name}`, 'float32', dims));

  const body = builder.inner('token');
  const index = body.input('index', 'int64', []);
  body.input('going', 'bool', []);
  const bodyIds = body.input('ids.now', 'int64', [1, 'T']);
  const bodyTotal = body.input('total.now', 'int32', [1]);
  const bodyPast = caches.map(({ name, dims }) => body.input(`now.${name}`, 'float32', dims));
  const logits = appendForward(builder, body, options, bodyIds, bodyTotal, one, (slot) => ({
    past: bodyPast[slot] ?? '',
    present: `next.${caches[slot]?.name}`,
  }));
  const next = appendNextToken(body, logits, { temperature, draws, index });
  const isStop = body.node('Cast', [body.node('Equal', [next, stops])], { to: INT32 });
  const stopped = body.node('ReduceMax', [isStop], { keepdims: 0 });
  body.node('Not', [body.node('Cast', [stopped], { to: BOOL })], {}, 'goes.on');
  body.output('goes.on', 'bool', []);
  body.node('Unsqueeze', [next, body.constant([0])], {}, 'ids.next');
  body.output('ids.next', 'int64', [1, 1]);
  body.node('Add', [bodyTotal, one], {}, 'total.next');
  body.output('total.next', 'int32', [1]);
  for (const { name, dims } of caches) body.output(`next.${name}`, 'float32', dims);
  body.node('Squeeze', [next, body.constant([0])], {}, 'token');
  body.output('token', 'int64', []);

  const present = caches.map(({ name }) => `present.${name}`);
  builder.operator(
    'Loop',
    [count, '', ids, total, ...past],
    ['ids.end', 'total.end', ...present, 'written'],
    { body: { graph: body } },
  );
  builder.output('written', 'int64', ['n']);
  caches.forEach(({ name, dims }) => {
    builder.output(`present.${name}`, 'float32', dims);
  });
  return builder.finish();
}

/** Element types of Cast. @source onnx.proto3, TensorProto.DataType */
const INT32 = 6;
const BOOL = 9;

/** Names of one layer's key or value cache. */
interface CacheNames {
  readonly past: string;
  readonly present: string;
}

/**
 * Logits [1, vocab] after the last of `ids` [1, T]. Constants, and what is computed of them alone,
 * belong to `builder`, where it is folded at load; everything else to `body`.
 */
function appendForward(
  builder: GraphBuilder,
  body: GraphBuilder,
  options: DecodeGraphOptions,
  ids: string,
  total: string,
  one: string,
  cacheOf: (slot: number) => CacheNames,
): string {
  const { layout, weights, genome } = options;
  const { shape } = layout;
  const base: BaseWeights = { weights, layout };
  const epsilon = { epsilon: { float: shape.rmsEpsilon } };
  const last = body.node('Sub', [total, one]);
  const vector = (name: string): string => bindRows(builder, weights, name, [shape.hidden]);
  const table = (name: string): string =>
    bindRows(builder, weights, name, [shape.positions, shape.headDim / 2]);
  const lastRow = (x: string): string => body.node('Gather', [x, builder.constant([-1])]);

  /** Products of one input with several modules' matrices, one after another: [T, all outputs]. */
  const products = (layer: number, modules: readonly ModuleName[], x: string, genes: LayerGenome): string => {
    const { precision } = layout;
    const cut = cutShape(shape, genes);
    const sizes = modules.map((module) => moduleDims(cut, module)[1]);
    const factors = modules.map((module) =>
      bindLora(builder, options.lora, weights, shape, layer, module, genes),
    );
    if (precision === 'fp32') {
      const parts = modules.map((module, index) => {
        const product = appendBaseProduct(body, base, layer, module, genes, x, builder);
        const own = factors[index];
        return own ? addLora(body, options, x, own, product) : product;
      });
      return parts.length === 1 ? (parts[0] ?? '') : body.node('Concat', parts, { axis: 1 });
    }
    const matrices = modules.map((module) =>
      bindQuantisedModule(builder, base, precision, layer, module, genes),
    );
    const biases = modules.flatMap((module, index) =>
      bindBias(builder, weights, shape, layer, module, sizes[index] ?? 0),
    );
    const bias = biases.length > 1 ? [builder.node('Concat', biases, { axis: 0 })] : biases;
    const product = multiplyQuantised(body, precision, x, stackOutputs(builder, matrices), bias);
    const joined = joinFactors(builder, factors, sizes);
    return joined ? addLora(body, options, x, joined, product) : product;
  };

  const attention = (layer: number, slot: number, x: string, genes: LayerGenome): string => {
    const { heads, kvHeads, headDim } = cutShape(shape, genes);
    const qkv = products(layer, ['q', 'k', 'v'], x, genes);
    const packed = (heads + 2 * kvHeads) * headDim;
    const key = cacheOf(slot);
    const value = cacheOf(slot + 1);
    const [out = ''] = body.operator(
      'GroupQueryAttention',
      [
        body.node('Reshape', [qkv, builder.constant([1, -1, packed])]),
        '',
        '',
        key.past,
        value.past,
        last,
        total,
        table('rope.cos'),
        table('rope.sin'),
      ],
      [`attention.${layer}`, key.present, value.present],
      {
        num_heads: heads,
        kv_num_heads: kvHeads,
        do_rotary: 1,
        ...(shape.slidingWindow !== undefined && { local_window_size: shape.slidingWindow }),
      },
    );
    return body.node('Reshape', [out, builder.constant([-1, heads * headDim])]);
  };

  const feedForward = (layer: number, x: string, genes: LayerGenome): string => {
    const [gate = '', up = ''] =
      layout.precision === 'fp32'
        ? [products(layer, ['gate'], x, genes), products(layer, ['up'], x, genes)]
        : body.operator('Split', [products(layer, ['gate', 'up'], x, genes)], 2, {
            axis: 1,
            num_outputs: 2,
          });
    // SiLU is QuickGelu at alpha 1.
    const active = body.node('QuickGelu', [gate], { alpha: { float: 1 } });
    return products(layer, ['down'], body.node('Mul', [active, up]), genes);
  };

  const layers = activeLayers(genome);
  const firstNorm = layers[0] === undefined ? 'norm' : `layers.${layers[0].layer}.inputNorm`;
  const embedded = appendEmbedding(body, base, ids);
  let residual = body.node('Reshape', [embedded, builder.constant([-1, shape.hidden])]);
  let normed = body.node('SimplifiedLayerNormalization', [residual, vector(firstNorm)], epsilon);
  layers.forEach(({ layer, genes }, index) => {
    let attended = attention(layer, 2 * index, normed, genes);
    const next = layers[index + 1];
    if (next === undefined) {
      attended = lastRow(attended);
      residual = lastRow(residual);
    }
    const addAndNorm = (branch: string, norm: string): void => {
      const [out = '', , , sum = ''] = body.operator(
        'SkipSimplifiedLayerNormalization',
        [residual, branch, vector(norm)],
        [`${norm}.out`, '', '', `${norm}.sum`],
        epsilon,
      );
      normed = out;
      residual = sum;
    };
    addAndNorm(products(layer, ['o'], attended, genes), `layers.${layer}.postNorm`);
    addAndNorm(feedForward(layer, normed, genes), next ? `layers.${next.layer}.inputNorm` : 'norm');
  });
  return appendHead(body, base, normed);
}

function addLora(
  body: GraphBuilder,
  { loraScale }: DecodeGraphOptions,
  x: string,
  { a, b }: LoraFactors,
  product: string,
): string {
  const low = body.node('Gemm', [x, a], { transB: 1 });
  return body.node('Gemm', [low, b, product], { alpha: { float: loraScale } });
}

/**
 * Factors of modules with one input as one pair: A of all of them one below the other, B block
 * diagonal, [ranks together, outputs together]. Null when no module has any.
 */
function joinFactors(
  builder: GraphBuilder,
  factors: readonly (LoraFactors | null)[],
  sizes: readonly number[],
): LoraFactors | null {
  const all = sizes.reduce((sum, size) => sum + size, 0);
  let before = 0;
  const parts = factors.flatMap((own, index) => {
    const size = sizes[index] ?? 0;
    const left = before;
    before += size;
    if (!own) return [];
    const b =
      size === all ? own.b : builder.node('Pad', [own.b, builder.constant([0, left, 0, all - left - size])]);
    return [{ a: own.a, b }];
  });
  const [first] = parts;
  if (first === undefined || parts.length === 1) return first ?? null;
  return {
    a: builder.node(
      'Concat',
      parts.map(({ a }) => a),
      { axis: 0 },
    ),
    b: builder.node(
      'Concat',
      parts.map(({ b }) => b),
      { axis: 0 },
    ),
  };
}
