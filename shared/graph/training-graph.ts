import { moduleGroups } from '../space/genome.js';
import { type AttentionTape, appendAttentionBackward, appendAttentionForward } from './attention-gradient.js';
import { bindRows, type WeightFile } from './graph-weights.js';
import { groupOf, loraName } from './lora.js';
import { type ModelShape, type ModuleName, moduleDims } from './model-shape.js';
import { GraphBuilder } from './onnx-writer.js';

export interface TrainingGraphOptions {
  readonly shape: ModelShape;
  readonly base: WeightFile;
  /** Rows of the stored LoRA factors. */
  readonly rankMax: number;
  readonly loraScale: number;
  /** Modules that carry an adapter. */
  readonly modules: readonly ModuleName[];
}

/** What a linear module keeps from its forward pass for the backward one. */
interface LinearTape {
  readonly x: string;
  readonly weight: string;
  /** x·Aᵀ, [T, r], with the sliced factors; null without an adapter. */
  readonly lora: { readonly low: string; readonly a: string; readonly b: string } | null;
}

interface NormTape {
  readonly x: string;
  readonly out: string;
  /** 1 / rms, [T, 1]. */
  readonly inverse: string;
  readonly gain: string;
}

/**
 * One training step's forward and backward pass as a single inference graph. The base is frozen;
 * gradients go to the LoRA factors alone.
 *
 * Inputs: `ids` i64 [B, S] (right-padded); `rows` i64 [N], distinct flattened positions that
 * predict a target; `targets` i64 [N]; `weight` f32 [], multiplies the loss (1 / number of targets
 * of the whole batch); `mask` f32 [1, 1, heads/kvHeads·S, S], 0 where a query may look and a large
 * negative number elsewhere; `width.i` i64 [1]; `rank.i.group` i64 [1];
 * `layers.i.m.A` f32 [rankMax, in] and `.B` f32 [rankMax, out] whole: the graph slices them.
 * Outputs: `loss` f32 [] (summed negative log-likelihood times `weight`) and, in the sliced shapes,
 * `grad.layers.i.m.A` [r, in'] and `grad.layers.i.m.B` [r, out'].
 *
 * One session serves every rank and width of every layer, since all slices are made at run time.
 * Nothing flows below the first layer's projections, and from the last layer's output projection
 * on only the N rows with targets are computed.
 */
export function buildTrainingGraph(options: TrainingGraphOptions): Uint8Array {
  const { shape, base, rankMax, loraScale } = options;
  const builder = new GraphBuilder('fleetlora-training');
  const weights = { base, overlay: null };
  const node = builder.node.bind(builder);
  const lastLayer = shape.layers - 1;

  const ids = builder.input('ids', 'int64', ['B', 'S']);
  const rows = builder.input('rows', 'int64', ['N']);
  const targets = builder.input('targets', 'int64', ['N']);
  const lossWeight = builder.input('weight', 'float32', []);
  const mask = builder.input('mask', 'float32', [1, 1, 'GS', 'S']);
  const zero = builder.constant([0]);
  const one = builder.constant([1]);

  /** First `end` (a run-time i64 [1]) entries of an axis. */
  const prefix = (x: string, end: string, axis: 0 | 1): string =>
    node('Slice', [x, zero, end, axis === 0 ? zero : one]);

  for (let layer = 0; layer < shape.layers; layer++) {
    builder.input(`width.${layer}`, 'int64', [1]);
    for (const group of moduleGroups) {
      if (options.modules.some((module) => groupOf[module] === group))
        builder.input(`rank.${layer}.${group}`, 'int64', [1]);
    }
  }

  const linear = (layer: number, module: ModuleName, x: string): { out: string; tape: LinearTape } => {
    const [inDim, outDim] = moduleDims(shape, module);
    const elastic = module === 'gate' || module === 'up' || module === 'down';
    const stored = bindRows(
      builder,
      weights,
      `layers.${layer}.${module}`,
      module === 'down' ? [inDim, outDim] : [outDim, inDim],
    );
    const weight = elastic ? prefix(stored, `width.${layer}`, 0) : stored;
    const out = node('Gemm', [x, weight], module === 'down' ? {} : { transB: 1 });
    if (!options.modules.includes(module)) return { out, tape: { x, weight, lora: null } };
    const rank = `rank.${layer}.${groupOf[module]}`;
    const width = `width.${layer}`;
    let a = prefix(builder.input(loraName(layer, module, 'A'), 'float32', [rankMax, inDim]), rank, 0);
    let b = prefix(builder.input(loraName(layer, module, 'B'), 'float32', [rankMax, outDim]), rank, 0);
    if (module === 'down') a = prefix(a, width, 1);
    else if (elastic) b = prefix(b, width, 1);
    const low = node('Gemm', [x, a], { transB: 1 });
    return {
      out: node('Gemm', [low, b, out], { alpha: { float: loraScale } }),
      tape: { x, weight, lora: { low, a, b } },
    };
  };

  /** Emits the module's LoRA gradients; returns dx [T, in] (+ `sum`), or '' when it is not wanted. */
  const linearBackward = (
    layer: number,
    module: ModuleName,
    tape: LinearTape,
    dy: string,
    wanted: { dx: 'none' } | { dx: 'needed'; sum?: string },
  ): string => {
    let dLow = '';
    if (tape.lora) {
      const { low, b } = tape.lora;
      const scale = { alpha: { float: loraScale } };
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
  };

  const norm = (name: string, x: string): NormTape => {
    const gain = bindRows(builder, weights, name, [shape.hidden]);
    const [out = '', inverse = ''] = builder.operator('SimplifiedLayerNormalization', [x, gain], 2, {
      epsilon: { float: shape.rmsEpsilon },
    });
    return { x, out, inverse, gain };
  };

  /**
   * With x̂ = x·inv and out = x̂·gain:  dx = inv·(dy·gain) − x·inv²·mean(dy·out).
   */
  const normBackward = (tape: NormTape, dy: string): string => {
    const mean = node('ReduceMean', [node('Mul', [dy, tape.out]), one], { keepdims: 1 });
    const shrink = node('Mul', [node('Mul', [tape.inverse, tape.inverse]), mean]);
    const direct = node('Mul', [node('Mul', [dy, tape.gain]), tape.inverse]);
    return node('Sub', [direct, node('Mul', [tape.x, shrink])]);
  };

  // ---- forward ----
  const embed = bindRows(builder, weights, 'embed', [shape.vocab, shape.hidden]);
  let residual = node('Reshape', [node('Gather', [embed, ids]), builder.constant([-1, shape.hidden])]);
  const tapes = Array.from({ length: shape.layers }, (_, layer) => {
    const inputNorm = norm(`layers.${layer}.inputNorm`, residual);
    const q = linear(layer, 'q', inputNorm.out);
    const k = linear(layer, 'k', inputNorm.out);
    const v = linear(layer, 'v', inputNorm.out);
    const attention: AttentionTape = appendAttentionForward(
      builder,
      { shape, base, ids, mask },
      q.out,
      k.out,
      v.out,
    );
    let context = attention.out;
    if (layer === lastLayer) {
      context = node('Gather', [context, rows]);
      residual = node('Gather', [residual, rows]);
    }
    const o = linear(layer, 'o', context);
    residual = node('Add', [residual, o.out]);
    const postNorm = norm(`layers.${layer}.postNorm`, residual);
    const gate = linear(layer, 'gate', postNorm.out);
    const up = linear(layer, 'up', postNorm.out);
    const sigmoid = node('Sigmoid', [gate.out]);
    const silu = node('Mul', [gate.out, sigmoid]);
    const down = linear(layer, 'down', node('Mul', [silu, up.out]));
    residual = node('Add', [residual, down.out]);
    return { inputNorm, q, k, v, attention, o, postNorm, gate, up, sigmoid, silu, down };
  });
  const finalNorm = norm('norm', residual);
  const headMatrix = shape.tiedHead ? embed : bindRows(builder, weights, 'head', [shape.vocab, shape.hidden]);
  const logits = node('Gemm', [finalNorm.out, headMatrix], { transB: 1 });
  const logProbabilities = node('LogSoftmax', [logits], { axis: 1 });
  const column = node('Unsqueeze', [targets, one]);
  const likelihood = node('ReduceSum', [node('GatherElements', [logProbabilities, column], { axis: 1 })], {
    keepdims: 0,
  });
  node('Mul', [node('Neg', [likelihood]), lossWeight], {}, 'loss');
  builder.output('loss', 'float32', []);

  // ---- backward: d logits = (P − onehot)·weight, so d normed = (P·E − E[target])·weight ----
  const expected = node('MatMul', [node('Exp', [logProbabilities]), headMatrix]);
  const surprise = node('Sub', [expected, node('Gather', [headMatrix, targets])]);
  let dResidual = normBackward(finalNorm, node('Mul', [surprise, lossWeight]));
  for (let layer = lastLayer; layer >= 0; layer--) {
    const tape = tapes[layer];
    if (!tape) continue;
    const dActive = linearBackward(layer, 'down', tape.down.tape, dResidual, { dx: 'needed' });
    const dUp = node('Mul', [dActive, tape.silu]);
    // silu'(g) = σ + silu·(1 − σ)
    const slope = node('Add', [
      tape.sigmoid,
      node('Mul', [tape.silu, node('Sub', [builder.constant({ float: 1 }), tape.sigmoid])]),
    ]);
    const dGate = node('Mul', [node('Mul', [dActive, tape.up.out]), slope]);
    const dFromGate = linearBackward(layer, 'gate', tape.gate.tape, dGate, { dx: 'needed' });
    const dPost = linearBackward(layer, 'up', tape.up.tape, dUp, { dx: 'needed', sum: dFromGate });
    dResidual = node('Add', [dResidual, normBackward(tape.postNorm, dPost)]);

    let dContext = linearBackward(layer, 'o', tape.o.tape, dResidual, { dx: 'needed' });
    if (layer === lastLayer) {
      const scatter = (values: string, like: string): string =>
        node('ScatterND', [
          node('ConstantOfShape', [node('Shape', [like])]),
          node('Unsqueeze', [rows, one]),
          values,
        ]);
      dContext = scatter(dContext, tape.attention.out);
      dResidual = scatter(dResidual, tape.inputNorm.x);
    }
    const { dq, dk, dv } = appendAttentionBackward(
      builder,
      { shape, base, ids, mask },
      tape.attention,
      dContext,
    );
    if (layer === 0) {
      linearBackward(layer, 'q', tape.q.tape, dq, { dx: 'none' });
      linearBackward(layer, 'k', tape.k.tape, dk, { dx: 'none' });
      linearBackward(layer, 'v', tape.v.tape, dv, { dx: 'none' });
      break;
    }
    const fromQ = linearBackward(layer, 'q', tape.q.tape, dq, { dx: 'needed' });
    const fromK = linearBackward(layer, 'k', tape.k.tape, dk, { dx: 'needed', sum: fromQ });
    const dNormed = linearBackward(layer, 'v', tape.v.tape, dv, { dx: 'needed', sum: fromK });
    dResidual = node('Add', [dResidual, normBackward(tape.inputNorm, dNormed)]);
  }
  return builder.finish();
}
