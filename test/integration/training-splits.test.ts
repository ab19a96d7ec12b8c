import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createTrainer } from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import type { SplitName, Training, TrainingStart } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { openModels, tinyBaseFiles } from '../lib/open-models.js';

const space: TrainingStart['space'] = {
  version: 1,
  name: 'small',
  rankMax: 2,
  alpha: 4,
  ranks: { qkv: [1, 2], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
  widthPercents: [100],
  forms: ['unmerged'],
};

/** A trainer over a base and a data set with these splits, each with rows of its own. */
async function openTrainer(t: Test, ...splits: SplitName[]) {
  const models = await openModels(t);
  await models.catalog.importBase({ name: 'tiny', files: await models.upload(tinyBaseFiles()) });
  const files: Partial<Record<SplitName, string>> = {};
  for (const split of splits) {
    const rows = [1, 2, 3, 4].map((row) => JSON.stringify({ prompt: `${split} ${row}?`, completion: ' y' }));
    files[split] = await models.content.put(new TextEncoder().encode(rows.join('\n')));
  }
  const dataset = await models.catalog.importDataset({ name: 'rows', files });
  const trainer = createTrainer({
    catalog: models.catalog,
    repository: models.store.trainings,
    contentFolder: models.content.folder,
    trainingFolder: join(models.content.folder, '..', 'training'),
    host: models.host,
    clock: systemClock,
    newId: models.newId,
    onError: (_id, error) => t.fail(String(error)),
  });
  t.teardown(() => trainer.close());
  return { ...models, dataset, trainer };
}

const request: TrainingStart = {
  name: 'trained',
  base: 'tiny',
  dataset: 'rows',
  space,
  options: { steps: 1, batchRows: 2, threads: 1, randomSubnets: 0, seed: 1 },
};

t.test('a training reads the split train alone: those to score on need not even be there', async (t) => {
  const { trainer, dataset, content } = await openTrainer(t, 'train', 'validation', 'test');
  for (const split of ['validation', 'test'] as const)
    await rm(content.pathOf(dataset.splits[split]?.digest ?? ''));
  const { id } = await trainer.start(request);
  let training: Training = await trainer.show(id);
  while (training.state === 'running') {
    await new Promise((resolve) => setImmediate(resolve));
    training = await trainer.show(id);
  }
  t.match(training, { state: 'finished', step: 1, error: null });
});

t.test('data without rows to train on is refused by name, before anything is recorded', async (t) => {
  const { trainer, store } = await openTrainer(t, 'validation', 'test');
  await t.rejects(trainer.start(request), coded('BAD_REQUEST', '"rows"', 'validation, test', 'train, all'));
  t.same(await store.trainings.listTrainings(), []);
});
