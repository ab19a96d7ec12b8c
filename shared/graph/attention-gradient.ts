import { bindRows, type WeightFile } from './graph-weights.js';
import type { ModelShape } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';

export interface AttentionContext {
  readonly shape: ModelShape;
  readonly base: WeightFile;
  /** i64 [B, S]; only its shape is used here. */
  readonly ids: string;
  /** f32 [1, 1, G·S, S] with G = heads / kvHeads, added to the scores. */
  readonly mask: string;
}

/** Values kept for the backward pass; K = kvHeads, G = heads / kvHeads, D = headDim. */
export interface AttentionTape {
  /** Rotated queries [B, K, G·S, D]: queries that share a key head are stacked, no key is repeated. */
  readonly q: string;
  /** Rotated keys and values [B, K, S, D]. */
  readonly k: string;
  readonly v: string;
  /** Softmax of the masked scores [B, K, G·S, S]. */
  readonly probabilities: string;
  /** [B, K, G·S, D]. */
  readonly context: string;
  /** Context as [B·S, heads·D]. */
  readonly out: string;
}

/**
 * Causal grouped-query attention with rotary positions, as separate operators (ONNX Runtime's
 * fused one has no gradient). q [B·S, heads·D], k and v [B·S, kvHeads·D], not yet
 * rotated; how many heads there are is known at run time, how many share a key head before.
 * @source com.microsoft.RotaryEmbedding (half rotation), com.microsoft.FusedMatMul
 */
export function appendAttentionForward(
  builder: GraphBuilder,
  context: AttentionContext,
  q: string,
  k: string,
  v: string,
): AttentionTape {
  const form = attentionForm(builder, context);
  const queries = form.groupQueries(form.rotate(form.threeDims(q), 'forward'));
  const keys = form.splitHeads(form.rotate(form.threeDims(k), 'forward'));
  const values = form.splitHeads(form.threeDims(v));
  const scores = builder.node('FusedMatMul', [queries, keys], { transB: 1, alpha: { float: form.scale } });
  const probabilities = builder.node('Softmax', [builder.node('Add', [scores, context.mask])], { axis: -1 });
  const mixed = builder.node('MatMul', [probabilities, values]);
  const out = form.twoDims(form.ungroupQueries(mixed));
  return { q: queries, k: keys, v: values, probabilities, context: mixed, out };
}

/**
 * Gradients [B·S, heads·D] and [B·S, kvHeads·D] of q, k and v before rotation.
 * Softmax backward uses rowsum(dP ⊙ P) = rowsum(dContext ⊙ context), which needs no S×S product.
 */
export function appendAttentionBackward(
  builder: GraphBuilder,
  context: AttentionContext,
  tape: AttentionTape,
  dOut: string,
): { dq: string; dk: string; dv: string } {
  const form = attentionForm(builder, context);
  const node = builder.node.bind(builder);
  const dContext = form.groupQueries(dOut);
  const dValues = node('FusedMatMul', [tape.probabilities, dContext], { transA: 1 });
  const dProbabilities = node('FusedMatMul', [dContext, tape.v], { transB: 1 });
  const rowSum = node('ReduceSum', [node('Mul', [dContext, tape.context]), builder.constant([-1])], {
    keepdims: 1,
  });
  const dScores = node('Mul', [tape.probabilities, node('Sub', [dProbabilities, rowSum])]);
  const alpha = { alpha: { float: form.scale } };
  const dQueries = node('FusedMatMul', [dScores, tape.k], alpha);
  const dKeys = node('FusedMatMul', [dScores, tape.q], { transA: 1, ...alpha });
  const unrotated = (x: string): string =>
    form.twoDims(form.rotate(form.threeDims(form.twoDims(x)), 'backward'));
  return {
    dq: unrotated(form.ungroupQueries(dQueries)),
    dk: unrotated(form.joinHeads(dKeys)),
    dv: form.twoDims(form.joinHeads(dValues)),
  };
}

/** The reshapes both passes share. */
function attentionForm(builder: GraphBuilder, { shape, base, ids }: AttentionContext) {
  const { headDim } = shape;
  const group = shape.heads / shape.kvHeads;
  const weights = { base, overlay: null };
  const tokenDims = builder.node('Shape', [ids]);
  const table = (name: string): string => bindRows(builder, weights, name, [shape.positions, headDim / 2]);
  /** [.., S split as B, S] with the given trailing sizes. */
  const perToken = (x: string, trailing: readonly number[]): string =>
    builder.node('Reshape', [
      x,
      builder.node('Concat', [tokenDims, builder.constant(trailing)], { axis: 0 }),
    ]);
  return {
    scale: 1 / Math.sqrt(headDim),
    threeDims: (x: string): string => perToken(x, [-1]),
    /** [B, S, ...] → [B·S, ...]. */
    twoDims: (x: string): string => builder.node('Flatten', [x], { axis: 2 }),
    /** Rotation by the position's angle; the gradient rotates back, which is the sine negated. */
    rotate: (x: string, direction: 'forward' | 'backward'): string => {
      const sine = table('rope.sin');
      return builder.node('RotaryEmbedding', [
        x,
        builder.constant([0]),
        table('rope.cos'),
        direction === 'forward' ? sine : builder.node('Neg', [sine]),
      ]);
    },
    /** [B·S or B,S, heads·D] → [B, K, G·S, D]. */
    groupQueries: (x: string): string => {
      const split = builder.node('Transpose', [perToken(x, [-1, group, headDim])], {
        perm: [0, 2, 3, 1, 4],
      });
      return builder.node('Reshape', [split, builder.constant([0, 0, -1, headDim])]);
    },
    /** [B, K, G·S, D] → [B, S, K, G, D]. */
    ungroupQueries: (x: string): string =>
      builder.node(
        'Transpose',
        [builder.node('Reshape', [x, builder.constant([0, 0, group, -1, headDim])])],
        {
          perm: [0, 3, 1, 2, 4],
        },
      ),
    /** [B, S, K·D] → [B, K, S, D]. */
    splitHeads: (x: string): string =>
      builder.node('Transpose', [perToken(x, [-1, headDim])], { perm: [0, 2, 1, 3] }),
    /** [B, K, S, D] → [B, S, K, D]. */
    joinHeads: (x: string): string => builder.node('Transpose', [x], { perm: [0, 2, 1, 3] }),
  };
}
