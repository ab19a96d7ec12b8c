import { loraName, type ModelShape, type ModuleName, moduleDims } from '@fleetlora/shared/graph';
import type { Random } from '@fleetlora/shared/random';

/** One LoRA factor inside the flat parameter vector. */
export interface FactorView {
  readonly name: string;
  readonly layer: number;
  readonly module: ModuleName;
  readonly factor: 'A' | 'B';
  /** [rankMax, columns], row-major, from `start` in the flat vectors. */
  readonly rows: number;
  readonly columns: number;
  readonly start: number;
}

/**
 * All LoRA factors of a super-adapter in one flat vector, so that the optimiser and checkpoints
 * see plain arrays; graphs see views of it.
 */
export interface LoraParameters {
  readonly factors: readonly FactorView[];
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  /** The factor's part of `values`, no copy. */
  valuesOf(factor: FactorView): Float32Array;
  /** The factor's part of `gradient`, no copy. */
  gradientOf(factor: FactorView): Float32Array;
}

/** Zeroed parameters for `modules` of every layer. */
export function createLoraParameters(
  shape: ModelShape,
  rankMax: number,
  modules: readonly ModuleName[],
): LoraParameters {
  const factors: FactorView[] = [];
  let start = 0;
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const module of modules) {
      const [inDim, outDim] = moduleDims(shape, module);
      for (const [factor, columns] of [
        ['A', inDim],
        ['B', outDim],
      ] as const) {
        factors.push({
          name: loraName(layer, module, factor),
          layer,
          module,
          factor,
          rows: rankMax,
          columns,
          start,
        });
        start += rankMax * columns;
      }
    }
  }
  const values = new Float32Array(start);
  const gradient = new Float32Array(start);
  const partOf = (whole: Float32Array, { start: from, rows, columns }: FactorView): Float32Array =>
    whole.subarray(from, from + rows * columns);
  return {
    factors,
    values,
    gradient,
    valuesOf: (view) => partOf(values, view),
    gradientOf: (view) => partOf(gradient, view),
  };
}

/**
 * A uniform in ±1/√in, B zero: the adapter starts as no change.
 * @source Kaiming uniform with a = √5, the default of PEFT's LoRA
 */
export function initializeLora(parameters: LoraParameters, random: Random): void {
  parameters.values.fill(0);
  for (const view of parameters.factors) {
    if (view.factor === 'B') continue;
    const bound = 1 / Math.sqrt(view.columns);
    const values = parameters.valuesOf(view);
    for (let i = 0; i < values.length; i++) values[i] = (random.next() * 2 - 1) * bound;
  }
}
