import type { Clock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import {
  groupOf,
  type ModelShape,
  type ModuleName,
  moduleNames,
  type WeightFile,
} from '@fleetlora/shared/graph';
import type { TrainingOptions } from '@fleetlora/shared/protocol';
import { createRandom, restoreRandom } from '@fleetlora/shared/random';
import type { Runtime } from '@fleetlora/shared/runtime';
import { anchorGenome, type SearchSpace } from '@fleetlora/shared/space';
import type { TokenRow } from '@fleetlora/shared/text';
import type { TensorFile } from '@fleetlora/shared/weights';
import { clipGradient, cosineLearningRate, createAdamW, stepAdamW } from './adam-w.js';
import { BatchOrder } from './batches.js';
import type { Checkpoint } from './checkpoint.js';
import { elasticityOf } from './elasticity.js';
import { loadLora } from './load-lora.js';
import { createLoraParameters, initializeLora, type LoraParameters } from './lora-parameters.js';
import { requireTeacher, sampleSubnets } from './subnet-sampling.js';
import { openTrainingStep } from './training-step.js';

const MOMENTS = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
/** Offsets between the streams drawn from one seed. */
const SUBNET_STREAM = 0x5eed;
const INIT_STREAM = 0x1417;

export interface TrainingRun {
  readonly shape: ModelShape;
  readonly base: WeightFile;
  readonly weightFolder: string;
  readonly space: SearchSpace;
  readonly rows: readonly TokenRow[];
  readonly options: TrainingOptions;
  /** Where an earlier run stopped, or null to start afresh. */
  readonly checkpoint: Checkpoint | null;
  /** Adapter file a fresh run starts with; absent: from nothing. */
  readonly initial?: TensorFile | null;
}

export interface TrainingProgress {
  /** Steps done, of `steps`. */
  readonly step: number;
  readonly steps: number;
  /** Mean over the step's sub-networks, and that of the first one (the largest unless `uniform`). */
  readonly loss: number;
  readonly firstLoss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  /** Tokens forward and backward a second, since this process started the run. */
  readonly tokensPerSecond: number;
  readonly etaSeconds: number;
}

export interface TrainingHooks {
  readonly onProgress: (progress: TrainingProgress) => void;
  /** Called every `checkpointEverySteps` and when the run ends early; training waits for it. */
  readonly onCheckpoint: (checkpoint: Checkpoint) => Promise<void>;
  /** Awaited before every step; this time counts for no speed and no time left. */
  readonly beforeStep?: () => Promise<void>;
  /** Asked before every step, then; true ends the run early. */
  readonly shouldStop: () => boolean;
}

/** Modules for which the space offers a rank above 0. */
export function adaptedModules(space: SearchSpace): ModuleName[] {
  const largest = anchorGenome(space, 'max');
  return moduleNames.filter((module) => largest.layers.some(({ ranks }) => ranks[groupOf[module]] > 0));
}

/**
 * Trains a super-adapter: every step draws sub-networks once, averages their gradients over one
 * batch and makes one AdamW update. Equal seed, data and threads give equal losses; from a
 * checkpoint the run goes on exactly.
 * @throws DATA_EMPTY without rows, BAD_REQUEST when the loss is not finite or `distil` has no teacher
 */
export async function trainSuperAdapter(
  runtime: Runtime,
  clock: Clock,
  run: TrainingRun,
  hooks: TrainingHooks,
): Promise<{ parameters: LoraParameters; step: number }> {
  const { shape, space, options, rows, checkpoint } = run;
  if (rows.length === 0)
    throw new CodedError('DATA_EMPTY', 'training needs at least one row, the data has 0');
  requireTeacher(options);
  const modules = adaptedModules(space);
  const { rankMax, alpha } = space.file;
  const parameters = createLoraParameters(shape, rankMax, modules);
  const optimizer = checkpoint?.optimizer ?? createAdamW(parameters.values.length);
  if (checkpoint) parameters.values.set(checkpoint.values);
  else if (run.initial) await loadLora(parameters, run.initial, shape, anchorGenome(space, 'max'));
  else initializeLora(parameters, createRandom((options.seed + INIT_STREAM) >>> 0));
  const orderRandom = checkpoint ? restoreRandom(checkpoint.orderState) : createRandom(options.seed);
  const subnetRandom = checkpoint
    ? restoreRandom(checkpoint.subnetState)
    : createRandom((options.seed + SUBNET_STREAM) >>> 0);
  const order = new BatchOrder(rows.length, orderRandom, [...(checkpoint?.pendingRows ?? [])]);

  const trainer = await openTrainingStep(runtime, {
    shape,
    base: run.base,
    weightFolder: run.weightFolder,
    rankMax,
    loraScale: alpha / rankMax,
    modules,
    threads: options.threads,
    elastic: elasticityOf(space, shape),
    distil: options.distil,
    masked: options.masked ? (options.precision ?? 'fp32') : undefined,
  });
  const firstStep = checkpoint?.step ?? 0;
  const checkpointNow = (): Promise<void> =>
    hooks.onCheckpoint({
      step,
      values: parameters.values,
      optimizer,
      orderState: orderRandom.state(),
      subnetState: subnetRandom.state(),
      pendingRows: order.remaining(),
    });
  /** Moved on by every pause. */
  let startedMs = clock.monotonicMs();
  let tokens = 0;
  let step = firstStep;
  try {
    while (step < options.steps) {
      if (hooks.beforeStep) {
        const pausedMs = clock.monotonicMs();
        await hooks.beforeStep();
        startedMs += clock.monotonicMs() - pausedMs;
      }
      if (hooks.shouldStop()) break;
      const batch = order.next(options.batchRows).map((row) => rows[row] as TokenRow);
      const subnets = sampleSubnets(space, options, step, subnetRandom);
      const outcome = await trainer.accumulate(parameters, batch, subnets);
      const loss = outcome.losses.reduce((sum, value) => sum + value, 0) / outcome.losses.length;
      if (!Number.isFinite(loss))
        throw new CodedError('BAD_REQUEST', `loss became ${loss} at step ${step}: lower the learning rate`);
      const gradientNorm = clipGradient(parameters.gradient, options.clipNorm);
      const learningRate = cosineLearningRate(step, { ...options, peak: options.learningRate });
      stepAdamW(optimizer, parameters.values, parameters.gradient, learningRate, {
        ...MOMENTS,
        weightDecay: options.weightDecay,
      });
      step++;
      tokens += outcome.tokens;
      const seconds = Math.max(1e-9, (clock.monotonicMs() - startedMs) / 1000);
      // First the checkpoint, then the word of it: a step told of at a checkpoint is never lost.
      if (step % options.checkpointEverySteps === 0 && step < options.steps) await checkpointNow();
      hooks.onProgress({
        step,
        steps: options.steps,
        loss,
        firstLoss: outcome.losses[0] ?? loss,
        learningRate,
        gradientNorm,
        tokensPerSecond: tokens / seconds,
        etaSeconds: (seconds / (step - firstStep)) * (options.steps - step),
      });
    }
    if (step < options.steps && step > firstStep) await checkpointNow();
  } finally {
    await trainer.close();
  }
  return { parameters, step };
}
