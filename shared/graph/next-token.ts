import type { GraphBuilder } from './onnx-writer.js';

/** How a token is chosen. */
export interface TokenChoice {
  /** f32 scalar; 0 for the likeliest token. */
  readonly temperature: string;
  /** f32 [count], numbers from [0, 1). */
  readonly draws: string;
  /** i64 scalar: which of the draws. */
  readonly index: string;
}

/**
 * The token after logits [1, vocab], i64 [1]: the likeliest at temperature 0, else drawn from
 * softmax(logits / temperature): the first token whose share, with those before it, exceeds the draw.
 */
export function appendNextToken(
  builder: GraphBuilder,
  logits: string,
  { temperature, draws, index }: TokenChoice,
): string {
  const drawn = builder.inner('drawn');
  const shares = drawn.node('Softmax', [drawn.node('Div', [logits, temperature])], { axis: 1 });
  const sums = drawn.node('CumSum', [shares, drawn.constant([1])]);
  // Rounding may leave the whole sum a little off 1: the draw is a part of what there is.
  const whole = drawn.node('Gather', [sums, drawn.constant([-1])], { axis: 1 });
  const draw = drawn.node('Mul', [drawn.node('Gather', [draws, index]), whole]);
  const beyond = drawn.node('Cast', [drawn.node('Greater', [sums, draw])], { to: INT32 });
  // Of equal values the first: no sum beyond the draw is before it.
  drawn.node('ArgMax', [beyond], { axis: 1, keepdims: 0 }, 'drawn.token');
  drawn.output('drawn.token', 'int64', [1]);
  const likeliest = builder.inner('likeliest');
  likeliest.node('ArgMax', [logits], { axis: 1, keepdims: 0 }, 'likeliest.token');
  likeliest.output('likeliest.token', 'int64', [1]);
  const draws0 = builder.node('Greater', [temperature, builder.constant({ float: 0 })]);
  return builder.node('If', [draws0], {
    then_branch: { graph: drawn },
    else_branch: { graph: likeliest },
  });
}

const INT32 = 6;
