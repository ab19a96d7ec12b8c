import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { createTrainer, type Trainer } from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import type { Training } from '@fleetlora/shared/protocol';
import t, { type Test } from 'tap';
import { findChildren, killChild } from '../lib/child-processes.js';
import { openTrainingModels, tinyTraining, untilTraining } from '../lib/tiny-training.js';

t.setTimeout(180_000);
/** More than any test here waits for. */
const STEPS = 1_000_000;
const MEASURING = 'the machine measures';

/** A trainer with real processes on a machine that the test has measured on. */
async function openTrainer(t: Test) {
  const { catalog, content, store, host, newId } = await openTrainingModels(t);
  const trainingFolder = join(content.folder, '..', 'training');
  const errors: unknown[] = [];
  const open = (): Trainer => {
    const trainer = createTrainer({
      catalog,
      repository: store.trainings,
      contentFolder: content.folder,
      trainingFolder,
      host,
      clock: systemClock,
      newId,
      onError: (_, error) => errors.push(error),
    });
    t.teardown(() => trainer.close());
    return trainer;
  };
  return {
    open,
    errors,
    checkpointOf: (id: string) => join(trainingFolder, id, 'checkpoint.safetensors'),
    /** Has a job of this machine sent as soon as the training has left it. */
    async measure(): Promise<void> {
      const { measuring } = host;
      while (measuring.state !== 'running') {
        await measuring.look(async (granted) => ({ running: granted, wanted: !granted }));
        await nextTurn();
      }
    },
    rest: () => host.measuring.look(async () => ({ running: false, wanted: false })),
  };
}
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const isOver = ({ state }: Training): boolean => state !== 'running';
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

t.test('a run makes no step while the machine measures, and goes on where it was', async (t) => {
  const { open, errors, measure, rest } = await openTrainer(t);
  const trainer = open();
  const { id } = await trainer.start(tinyTraining(STEPS));
  await untilTraining(trainer, id, ({ step }) => step >= 1);
  for (let round = 1; round <= 2; round++) {
    await measure();
    const paused = await trainer.show(id);
    t.match(paused, { state: 'running', waitReason: MEASURING }, `round ${round}`);
    // Each look takes as long as several steps.
    for (let look = 0; look < 200; look++)
      if ((await trainer.show(id)).step !== paused.step) t.fail(`a step while the machine measures`);
    await rest();
    const next = await untilTraining(trainer, id, ({ step }) => step > paused.step);
    t.match(next, { state: 'running', waitReason: null });
  }
  await trainer.stop(id);
  t.match(await untilTraining(trainer, id, isOver), { state: 'stopped', waitReason: null });
  t.same(errors, []);
});

t.test(
  'a run that is started while the machine measures waits; stopped then, it ends at step 0',
  async (t) => {
    const { open, errors, measure, rest } = await openTrainer(t);
    const trainer = open();
    await measure();
    const { id } = await trainer.start(tinyTraining(STEPS));
    t.match(await trainer.show(id), { step: 0, waitReason: MEASURING });
    t.match((await trainer.list())[0], { waitReason: MEASURING });
    await trainer.stop(id);
    t.match(await untilTraining(trainer, id, isOver), { state: 'stopped', step: 0, waitReason: null });
    await rest();
    t.same(errors, []);
  },
);

t.test('a run that is stopped in a pause leaves its checkpoint', async (t) => {
  const { open, errors, measure, checkpointOf } = await openTrainer(t);
  const trainer = open();
  // None but the last checkpoint is ever written.
  const training = tinyTraining(STEPS);
  const { id } = await trainer.start({
    ...training,
    options: { ...training.options, checkpointEverySteps: STEPS },
  });
  await untilTraining(trainer, id, ({ step }) => step >= 1);
  await measure();
  t.notOk(await exists(checkpointOf(id)));
  const { step } = await trainer.stop(id);
  t.match(await untilTraining(trainer, id, isOver), { state: 'stopped', step });
  t.ok(await exists(checkpointOf(id)));
  t.same(errors, []);
});

t.test('a process that is killed in a pause is started again, and waits', async (t) => {
  const { open, errors, measure, rest } = await openTrainer(t);
  const trainer = open();
  const { id } = await trainer.start(tinyTraining(STEPS));
  await untilTraining(trainer, id, ({ step }) => step >= 4);
  await measure();
  const [victim] = await findChildren(process.pid, 'training-child.js');
  await killChild(process.pid, 'training-child.js');
  let next: number | undefined;
  while (next === undefined || next === victim) [next] = await findChildren(process.pid, 'training-child.js');
  const waiting = await untilTraining(trainer, id, ({ waitReason }) => waitReason === MEASURING);
  t.equal(waiting.state, 'running');
  await rest();
  const { step } = await untilTraining(trainer, id, ({ step }) => step !== waiting.step);
  t.ok(step > 1, `it goes on from its checkpoint, with step ${step}`);
  await trainer.stop(id);
  t.match(await untilTraining(trainer, id, isOver), { state: 'stopped' });
  t.same(errors, []);
});

t.test('a trainer that is closed in a pause leaves the run to the next one', async (t) => {
  const { open, errors, measure, rest } = await openTrainer(t);
  const first = open();
  const { id } = await first.start(tinyTraining(STEPS));
  await untilTraining(first, id, ({ step }) => step >= 4);
  await measure();
  await first.close();
  t.same(await findChildren(process.pid, 'training-child.js'), []);
  const second = open();
  await second.resume();
  t.match(await second.show(id), { state: 'running', waitReason: MEASURING });
  await rest();
  await untilTraining(second, id, ({ loss, step }) => loss !== null && step >= 4);
  await second.stop(id);
  t.match(await untilTraining(second, id, isOver), { state: 'stopped' });
  t.same(errors, []);
});
