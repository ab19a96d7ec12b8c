import type { GraphBuilder } from './onnx-writer.js';

/**
 * `x` [m, columns], the same values, for which `before` is computed first. ONNX Runtime runs what a later
 * operator needs before what nothing but the caller waits for: without this every gradient would wait
 * for the last layer's, and hold on to what it is made of.
 * @param before matrices whose first size is known at run time alone; a shape that is known before
 *   would be folded into a constant, and the order be lost
 * @source onnxruntime, GraphViewer: reverse depth-first order from the nodes without a successor
 */
export function afterAll(
  builder: GraphBuilder,
  x: string,
  columns: number,
  before: readonly string[],
): string {
  if (before.length === 0) return x;
  const sizes = builder.node(
    'Concat',
    before.map((value) => builder.node('Shape', [value], { end: 1 })),
    { axis: 0 },
  );
  const first = builder.node('Slice', [sizes, builder.constant([0]), builder.constant([1])]);
  const nothing = builder.node('Mod', [first, builder.constant([1])]);
  // A size of 0 means as many as there are. Joined from parts the shape would be fused into a constant.
  return builder.node('Reshape', [x, builder.node('Add', [builder.constant([0, columns]), nothing])]);
}
