import {
  createLoraParameters,
  type FactorView,
  type LoraParameters,
  openTrainingStep,
  type TrainingStepOptions,
} from '@fleetlora/coordinator/training';
import { type ModuleName, moduleNames } from '@fleetlora/shared/graph';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { createRandom } from '@fleetlora/shared/random';
import type { Genome } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import { readFloats } from '@fleetlora/shared/weights';
import type { PlainLlama } from './plain-llama.js';
import { type TinyModel, tinyAlpha, tinyRankMax } from './tiny-model.js';

export interface Gradients {
  readonly parameters: LoraParameters;
  readonly losses: readonly number[];
}

/** Losses and gradient of one training step on the model's own super-adapter. */
export async function takeGradients(
  model: TinyModel,
  genomes: readonly Genome[],
  rows: readonly TokenRow[],
  options: Pick<TrainingStepOptions, 'elastic' | 'distil'> & {
    readonly modules?: readonly ModuleName[];
  } = {},
): Promise<Gradients> {
  const modules = options.modules ?? moduleNames;
  const parameters = createLoraParameters(model.shape, tinyRankMax, modules);
  for (const view of parameters.factors)
    parameters.valuesOf(view).set(await readFloats(model.adapter.file, view.name, [view.rows, view.columns]));
  const step = await openTrainingStep(createNodeRuntime(), {
    shape: model.shape,
    base: model.base,
    weightFolder: model.folder,
    rankMax: tinyRankMax,
    loraScale: tinyAlpha / tinyRankMax,
    modules,
    threads: 1,
    ...options,
  });
  const { losses } = await step.accumulate(parameters, rows, genomes);
  await step.close();
  return { parameters, losses };
}

/** Distance of the central differences: in double precision they are exact to 1e-7. */
const STEP = 1e-5;
/** Random directions a factor is moved in; each sees every element of its gradient. */
const DIRECTIONS = 2;

/**
 * How far a factor's gradient is from the slopes of `loss` along random directions, as a share of
 * its length; 0 for a gradient of zeros and a loss that does not move.
 * @param loss of the plain computation, whose factors are moved
 */
export function gradientError(
  plain: PlainLlama,
  { parameters }: Gradients,
  view: FactorView,
  loss: () => number,
  seed = 22,
): number {
  const random = createRandom(seed);
  const start = plain.factors.get(view.name) as Float64Array;
  const found = parameters.gradient.subarray(view.start, view.start + view.rows * view.columns);
  const length = Math.hypot(...found);
  let worst = 0;
  for (let count = 0; count < DIRECTIONS; count++) {
    const direction = Array.from(found, () => (random.below(2) === 0 ? 1 : -1));
    const lossAt = (distance: number): number => {
      plain.factors.set(
        view.name,
        start.map((value, at) => value + distance * (direction[at] as number)),
      );
      return loss();
    };
    const wanted = (lossAt(STEP) - lossAt(-STEP)) / (2 * STEP);
    plain.factors.set(view.name, start);
    const along = direction.reduce((sum, sign, at) => sum + sign * (found[at] as number), 0);
    worst = Math.max(worst, Math.abs(along - wanted) / (length === 0 ? 1 : length));
  }
  return worst;
}
