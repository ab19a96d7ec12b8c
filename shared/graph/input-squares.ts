import type { ModuleName } from './model-shape.js';
import type { GraphBuilder } from './onnx-writer.js';

/** Modules whose inputs differ: k and v have q's input, up has gate's. */
export const inputModules = ['q', 'o', 'gate', 'down'] as const satisfies readonly ModuleName[];
export type InputModule = (typeof inputModules)[number];

/** The module under whose name the inputs of a module are known. */
export function inputModuleOf(module: ModuleName): InputModule {
  if (module === 'k' || module === 'v') return 'q';
  return module === 'up' ? 'gate' : module;
}

/** Output of a graph with head `inputSquares`. */
export function squaresName(layer: number, module: InputModule): string {
  return `squares.${layer}.${module}`;
}

/**
 * Adds the output `squares.i.m` [in]: for each input of a module the sum over tokens of its square.
 * @param x [tokens, in]
 * @param rows the tokens that count; null: all of x
 * @source ONNX ReduceSumSquare 18
 */
export function outputSquares(
  builder: GraphBuilder,
  at: { readonly layer: number; readonly module: InputModule; readonly inputs: number },
  x: string,
  rows: string | null,
): void {
  const name = squaresName(at.layer, at.module);
  const counted = rows === null ? x : builder.node('Gather', [x, rows]);
  builder.node('ReduceSumSquare', [counted, builder.constant([0])], { keepdims: 0 }, name);
  builder.output(name, 'float32', [at.inputs]);
}
