import { hasBias, type ModelShape, type ModuleName, moduleDims } from './model-shape.js';
import { GraphBuilder } from './onnx-writer.js';

/** Sizes of one layer of a plain graph. */
export interface PlainLayer {
  /** At most the shape's. */
  readonly ffnWidth: number;
  /** LoRA rank of each module that has an adapter beside its matrix. */
  readonly ranks: Readonly<Partial<Record<ModuleName, number>>>;
}

/** A model for other tools: see buildPlainGraph. */
export interface PlainGraphOptions {
  readonly shape: ModelShape;
  readonly layers: readonly PlainLayer[];
  /** Multiplies B·A. */
  readonly loraScale: number;
  /**
   * Declares a constant of F32 values and returns its name: `embed`, `head`, `norm`, `rope.cos`,
   * `rope.sin`, `layers.i.inputNorm`, `layers.i.m` [out, in], `layers.i.m.bias`, `layers.i.m.A` [rank, in] and
   * `layers.i.m.B` [out, rank].
   */
  constant(builder: GraphBuilder, name: string, dims: readonly number[]): string;
}

/** Far below every score, and finite: a row that may see nothing must not become NaN. */
const MASKED = -1e30;

/**
 * A model in operators of the ONNX standard alone, with the inputs and outputs of a Hugging Face
 * decoder: `input_ids` i64 [B, S], `attention_mask` i64 [B, T] with 0 where a token is padding,
 * `position_ids` i64 [B, S], `past_key_values.i.key|value` f32 [B, kvHeads, T - S, headDim];
 * `logits` f32 [B, S, vocab], `present.i.key|value` f32 [B, kvHeads, T, headDim].
 * @source optimum's naming of a decoder's inputs and outputs; transformers modeling_llama.py
 */
export function buildPlainGraph(options: PlainGraphOptions): Uint8Array {
  const { shape, layers } = options;
  const { hidden, heads, kvHeads, headDim, vocab } = shape;
  const builder = new GraphBuilder('model');
  const constant = (name: string, dims: readonly number[]): string => options.constant(builder, name, dims);
  const node = builder.node.bind(builder);
  const numbers = (...values: number[]): string => builder.constant(values);
  const float = (value: number): string => builder.constant({ float: value });
  const ids = builder.input('input_ids', 'int64', ['batch', 'sequence']);
  const mask = builder.input('attention_mask', 'int64', ['batch', 'total']);
  const positions = builder.input('position_ids', 'int64', ['batch', 'sequence']);
  const batchAndSequence = node('Shape', [ids]);
  const batch = node('Shape', [ids], { start: 0, end: 1 });
  const sequence = node('Shape', [ids], { start: 1, end: 2 });
  const total = node('Shape', [mask], { start: 1, end: 2 });
  const reshape = (x: string, ...parts: string[]): string =>
    node('Reshape', [x, parts.length === 1 ? (parts[0] as string) : node('Concat', parts, { axis: 0 })]);

  const rmsNorm = (x: string, name: string): string => {
    const mean = node('ReduceMean', [node('Mul', [x, x]), numbers(-1)], { keepdims: 1 });
    const root = node('Sqrt', [node('Add', [mean, float(shape.rmsEpsilon)])]);
    return node('Mul', [node('Div', [x, root]), constant(name, [hidden])]);
  };
  /** [tokens, in] → [tokens, out] */
  const linear = (layer: number, module: ModuleName, x: string): string => {
    const { ffnWidth, ranks } = layers[layer] as PlainLayer;
    const [input, output] = moduleDims(shape, module, ffnWidth);
    const name = `layers.${layer}.${module}`;
    const bias = hasBias(shape, module) ? [constant(`${name}.bias`, [output])] : [];
    const base = node('Gemm', [x, constant(name, [output, input]), ...bias], { transB: 1 });
    const rank = ranks[module] ?? 0;
    if (rank === 0) return base;
    const low = node('Gemm', [x, constant(`${name}.A`, [rank, input])], { transB: 1 });
    const factor = constant(`${name}.B`, [output, rank]);
    return node('Gemm', [low, factor, base], { transB: 1, alpha: { float: options.loraScale } });
  };

  /** 0 where a query sees a key, else MASKED: [B, 1, 1, S, T]. */
  const bias = ((): string => {
    const scalar = (x: string): string => node('Squeeze', [x, numbers(0)]);
    const zero = scalar(numbers(0));
    const keys = node('Range', [zero, scalar(total), scalar(numbers(1))]);
    const first = node('Sub', [total, sequence]);
    const queries = node('Unsqueeze', [
      node('Range', [scalar(first), scalar(total), scalar(numbers(1))]),
      numbers(1),
    ]);
    let seen = node('LessOrEqual', [keys, queries]);
    if (shape.slidingWindow !== undefined) {
      const oldest = node('Sub', [queries, numbers(shape.slidingWindow)]);
      seen = node('And', [seen, node('Greater', [keys, oldest])]);
    }
    const real = node('Unsqueeze', [node('Greater', [mask, zero]), numbers(1, 2, 3)]);
    return node('Where', [node('And', [real, seen]), float(0), float(MASKED)]);
  })();

  const angles = (name: string): string => {
    const table = constant(name, [shape.positions, headDim / 2]);
    return node('Unsqueeze', [node('Gather', [table, positions]), numbers(1)]);
  };
  const cos = angles('rope.cos');
  const sin = angles('rope.sin');
  /** [tokens, count · headDim] → [B, count, S, headDim] */
  const splitHeads = (x: string, count: number): string =>
    node('Transpose', [reshape(x, batchAndSequence, numbers(count, headDim))], { perm: [0, 2, 1, 3] });
  const rotate = (x: string): string => {
    const [a = '', b = ''] = builder.operator('Split', [x], 2, { axis: -1, num_outputs: 2 });
    const turned = node('Sub', [node('Mul', [a, cos]), node('Mul', [b, sin])]);
    const other = node('Add', [node('Mul', [b, cos]), node('Mul', [a, sin])]);
    return node('Concat', [turned, other], { axis: -1 });
  };
  const cached = (layer: number, slot: 'key' | 'value', fresh: string): string => {
    const dims = (length: string) => ['batch', kvHeads, length, headDim];
    const past = builder.input(`past_key_values.${layer}.${slot}`, 'float32', dims('past'));
    const present = node('Concat', [past, fresh], { axis: 2 }, `present.${layer}.${slot}`);
    builder.output(present, 'float32', dims('total'));
    return present;
  };
  const attention = (layer: number, x: string): string => {
    const q = rotate(splitHeads(linear(layer, 'q', x), heads));
    const k = cached(layer, 'key', rotate(splitHeads(linear(layer, 'k', x), kvHeads)));
    const v = cached(layer, 'value', splitHeads(linear(layer, 'v', x), kvHeads));
    // The queries of a key/value head lie one after another, so they are rows of one product.
    const scaled = node('Mul', [q, float(1 / Math.sqrt(headDim))]);
    const grouped = reshape(scaled, batch, numbers(kvHeads, -1, headDim));
    const scores = node('MatMul', [grouped, node('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const apart = reshape(scores, batch, numbers(kvHeads, heads / kvHeads), sequence, total);
    const shares = node('Softmax', [node('Add', [apart, bias])], { axis: -1 });
    const mixed = node('MatMul', [reshape(shares, batch, numbers(kvHeads, -1), total), v]);
    const perHead = reshape(mixed, batch, numbers(heads), sequence, numbers(headDim));
    return reshape(node('Transpose', [perHead], { perm: [0, 2, 1, 3] }), numbers(-1, heads * headDim));
  };
  const feedForward = (layer: number, x: string): string => {
    const gate = linear(layer, 'gate', x);
    const active = node('Mul', [gate, node('Sigmoid', [gate])]);
    return linear(layer, 'down', node('Mul', [active, linear(layer, 'up', x)]));
  };

  const embed = constant('embed', [vocab, hidden]);
  let x = reshape(node('Gather', [embed, ids]), numbers(-1, hidden));
  for (const layer of layers.keys()) {
    const attended = attention(layer, rmsNorm(x, `layers.${layer}.inputNorm`));
    x = node('Add', [x, linear(layer, 'o', attended)]);
    x = node('Add', [x, feedForward(layer, rmsNorm(x, `layers.${layer}.postNorm`))]);
  }
  const head = shape.tiedHead ? embed : constant('head', [vocab, hidden]);
  const logits = node('Gemm', [rmsNorm(x, 'norm'), head], { transB: 1 });
  node('Reshape', [logits, node('Concat', [batchAndSequence, numbers(vocab)], { axis: 0 })], {}, 'logits');
  builder.output('logits', 'float32', ['batch', 'sequence', vocab]);
  return builder.finish();
}
