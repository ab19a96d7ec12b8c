import type { Trainer } from '@fleetlora/coordinator/training';
import type { Training, TrainingStart } from '@fleetlora/shared/protocol';
import type { Test } from 'tap';
import { type OpenModels, openModels, tinyBaseFiles } from './open-models.js';

/** A run on the tiny base and eight rows: a step takes milliseconds, a checkpoint comes after every second one. */
export function tinyTraining(steps: number): TrainingStart {
  return {
    name: 'digits',
    base: 'tiny',
    dataset: 'rows',
    space: {
      version: 1,
      name: 'small',
      rankMax: 4,
      alpha: 8,
      ranks: { qkv: [2, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
      widthPercents: [100, 50],
      forms: ['unmerged'],
    },
    options: { steps, batchRows: 4, checkpointEverySteps: 2, threads: 1, randomSubnets: 1, seed: 5 },
  };
}

/** A real store and catalog with the base and the rows of `tinyTraining`. */
export async function openTrainingModels(t: Test): Promise<OpenModels> {
  const models = await openModels(t);
  await models.catalog.importBase({ name: 'tiny', files: await models.upload(tinyBaseFiles()) });
  const rows = Array.from({ length: 8 }, (_, row) =>
    JSON.stringify({ prompt: `${row}?`, completion: ` ${row}` }),
  );
  const digest = await models.content.put(new TextEncoder().encode(rows.join('\n')));
  await models.catalog.importDataset({ name: 'rows', files: { all: digest } });
  return models;
}

/** Looks at a run until it is as wanted: every millisecond, since a step takes not much more. */
export async function untilTraining(
  trainer: Pick<Trainer, 'show'>,
  id: string,
  isDone: (training: Training) => boolean,
): Promise<Training> {
  for (;;) {
    const training = await trainer.show(id);
    if (isDone(training)) return training;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
