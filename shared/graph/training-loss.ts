import type { GraphBuilder } from './onnx-writer.js';

/** Names of the values a training graph's loss is made of. */
export interface TrainingLossInputs {
  /** Normalised hidden states of the predicting rows, [N, hidden]. */
  readonly normed: string;
  /** [vocab, hidden]. */
  readonly head: string;
  /** i64 [N]. */
  readonly targets: string;
  /** f32 [], multiplies everything. */
  readonly weight: string;
  readonly teacher: 'none' | 'probabilities';
}

/**
 * Where a target is less likely, single precision cannot tell how much: its loss is told as 87 nats. Logarithms
 * of all probabilities would tell, and take one more pass over [N, vocab] than the gradient needs.
 */
const LEAST_PROBABILITY = 1.2e-38;

/**
 * Loss of the targets and its gradient [N, hidden] by `normed`, which is returned. The loss needs no
 * one-hot rows: with P the softmax and E the head, d normed = (P·E − E[target])·weight.
 *
 * With a teacher the graph minimises (1 − w)·nll + w·KL(T ‖ P), w = `distil` f32 [] and T the
 * exponential of `teacher` f32 [N, vocab], whose own gradient is not asked for:
 * d normed = ((P − w·T)·E − (1 − w)·E[target])·weight. Outputs beside `loss`, which stays the nll:
 * `divergence` f32 [], the KL divergence times `weight`, and `logProbabilities` [N, vocab], a teacher
 * for other sub-networks. Without one at hand `teacher` may be [1, 1] of a large negative number.
 * @source Hinton et al., arXiv 1503.02531; in place: Yu & Huang, Universally Slimmable Networks, 3.3
 */
export function appendTrainingLoss(builder: GraphBuilder, inputs: TrainingLossInputs): string {
  const { normed, head, targets, weight } = inputs;
  const node = builder.node.bind(builder);
  const logits = node('Gemm', [normed, head], { transB: 1 });
  const column = node('Unsqueeze', [targets, builder.constant([1])]);
  const targetRows = node('Gather', [head, targets]);
  const tellLoss = (likelihoods: string): void => {
    const likelihood = node('ReduceSum', [likelihoods], { keepdims: 0 });
    node('Mul', [node('Neg', [likelihood]), weight], {}, 'loss');
    builder.output('loss', 'float32', []);
  };
  if (inputs.teacher === 'none') {
    const probabilities = node('Softmax', [logits], { axis: 1 });
    const chosen = node('GatherElements', [probabilities, column], { axis: 1 });
    tellLoss(node('Log', [node('Add', [chosen, builder.constant({ float: LEAST_PROBABILITY })])]));
    const expected = node('MatMul', [probabilities, head]);
    return node('Mul', [node('Sub', [expected, targetRows]), weight]);
  }
  const logProbabilities = node('LogSoftmax', [logits], { axis: 1 }, 'logProbabilities');
  builder.output('logProbabilities', 'float32', ['N', 'V']);
  tellLoss(node('GatherElements', [logProbabilities, column], { axis: 1 }));
  const probabilities = node('Exp', [logProbabilities]);
  const teacher = builder.input('teacher', 'float32', ['TN', 'TV']);
  const share = builder.input('distil', 'float32', []);
  const taught = node('Exp', [teacher]);
  const excess = node('Mul', [taught, node('Sub', [teacher, logProbabilities])]);
  node('Mul', [node('ReduceSum', [excess], { keepdims: 0 }), weight], {}, 'divergence');
  builder.output('divergence', 'float32', []);
  const expected = node('MatMul', [node('Sub', [probabilities, node('Mul', [taught, share])]), head]);
  const ownShare = node('Sub', [builder.constant({ float: 1 }), share]);
  const surprise = node('Sub', [expected, node('Mul', [targetRows, ownShare])]);
  return node('Mul', [surprise, weight]);
}
