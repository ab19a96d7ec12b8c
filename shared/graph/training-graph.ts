import { moduleGroups } from '../space/genome.js';
import { type AttentionTape, appendAttentionBackward, appendAttentionForward } from './attention-gradient.js';
import { afterAll } from './evaluation-order.js';
import { bindRows } from './graph-weights.js';
import { groupOf, loraName } from './lora.js';
import { GraphBuilder } from './onnx-writer.js';
import { createTrainingLinear, type TrainingLinearOptions } from './training-linear.js';
import { appendTrainingLoss } from './training-loss.js';

export interface TrainingGraphOptions extends TrainingLinearOptions {
  /** Whether sub-networks may also learn from the probabilities of another one. */
  readonly teacher: 'none' | 'probabilities';
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
 * negative number elsewhere; `rank.i.group` i64 [1]; and where the layer is elastic: `width.i` and
 * `kvHeads.i` i64 [1], at least 1, and `keep.i` f32 [], 1 or, of a layer that is left out, 0;
 * `layers.i.m.A` f32 [rankMax, in] and `.B` f32 [rankMax, out] whole: the graph slices them.
 * With a teacher those of appendTrainingLoss.
 * Outputs: `loss` f32 [] (summed negative log-likelihood times `weight`) and, in the sliced shapes,
 * `grad.layers.i.m.A` [r, in'] and `grad.layers.i.m.B` [r, out'].
 *
 * One session serves every choice of every layer, since all slices are made at run time.
 * Nothing flows below the first layer's projections, and from the last layer's output projection
 * on only the N rows with targets are computed.
 */
export function buildTrainingGraph(options: TrainingGraphOptions): Uint8Array {
  const { shape, base } = options;
  const builder = new GraphBuilder('fleetlora-training');
  const weights = { base, overlay: null };
  const node = builder.node.bind(builder);
  const lastLayer = shape.layers - 1;

  const ids = builder.input('ids', 'int64', ['B', 'S']);
  const rows = builder.input('rows', 'int64', ['N']);
  const targets = builder.input('targets', 'int64', ['N']);
  const weight = builder.input('weight', 'float32', []);
  const mask = builder.input('mask', 'float32', [1, 1, 'GS', 'S']);
  const one = builder.constant([1]);

  options.elastic.forEach(({ width, kvHeads, skip }, layer) => {
    if (width) builder.input(`width.${layer}`, 'int64', [1]);
    if (kvHeads) builder.input(`kvHeads.${layer}`, 'int64', [1]);
    if (skip) builder.input(`keep.${layer}`, 'float32', []);
    for (const group of moduleGroups) {
      if (options.modules.some((module) => groupOf[module] === group))
        builder.input(`rank.${layer}.${group}`, 'int64', [1]);
    }
  });
  const { forward: linear, backward: linearBackward } = createTrainingLinear(builder, options);
  /** A branch's sum, or its gradient, of a layer that may be left out. */
  const kept = (layer: number, x: string): string =>
    options.elastic[layer]?.skip ? node('Mul', [x, `keep.${layer}`]) : x;

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
    residual = node('Add', [residual, kept(layer, o.out)]);
    const postNorm = norm(`layers.${layer}.postNorm`, residual);
    const gate = linear(layer, 'gate', postNorm.out);
    const up = linear(layer, 'up', postNorm.out);
    const silu = node('QuickGelu', [gate.out], { alpha: { float: 1 } });
    const down = linear(layer, 'down', node('Mul', [silu, up.out]));
    residual = node('Add', [residual, kept(layer, down.out)]);
    return { inputNorm, q, k, v, attention, o, postNorm, gate, up, down };
  });
  const finalNorm = norm('norm', residual);
  const headMatrix = shape.tiedHead ? embed : bindRows(builder, weights, 'head', [shape.vocab, shape.hidden]);
  const dNormed = appendTrainingLoss(builder, {
    normed: finalNorm.out,
    head: headMatrix,
    targets,
    weight,
    teacher: options.teacher,
  });

  // ---- backward ----
  let dResidual = normBackward(finalNorm, dNormed);
  for (let layer = lastLayer; layer >= 0; layer--) {
    const tape = tapes[layer];
    if (!tape) continue;
    const dDown = kept(layer, dResidual);
    // Computed anew: to keep σ, silu and their product of every layer would be a third of the tapes.
    const sigmoid = node('Sigmoid', [tape.gate.out]);
    const silu = node('Mul', [tape.gate.out, sigmoid]);
    const active = node('Mul', [silu, tape.up.out]);
    const dActive = linearBackward(layer, 'down', { ...tape.down.tape, x: active }, dDown, { dx: 'needed' });
    const dUp = node('Mul', [dActive, silu]);
    // silu'(g) = σ + silu·(1 − σ)
    const slope = node('Add', [
      sigmoid,
      node('Mul', [silu, node('Sub', [builder.constant({ float: 1 }), sigmoid])]),
    ]);
    const dGate = node('Mul', [node('Mul', [dActive, tape.up.out]), slope]);
    const dFromGate = linearBackward(layer, 'gate', tape.gate.tape, dGate, { dx: 'needed' });
    const dPost = linearBackward(layer, 'up', tape.up.tape, dUp, { dx: 'needed', sum: dFromGate });
    dResidual = node('Add', [dResidual, normBackward(tape.postNorm, dPost)]);

    let dContext = linearBackward(layer, 'o', tape.o.tape, kept(layer, dResidual), { dx: 'needed' });
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
    const gradients = options.modules.flatMap((module) =>
      (['A', 'B'] as const).map((factor) => `grad.${loraName(layer, module, factor)}`),
    );
    dResidual = afterAll(builder, dResidual, shape.hidden, gradients);
  }
  return builder.finish();
}
