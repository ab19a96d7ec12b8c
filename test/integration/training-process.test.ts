import { join } from 'node:path';
import { createTrainer, type Trainer } from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import type { Training } from '@fleetlora/shared/protocol';
import { anchorGenome, bindSearchSpace } from '@fleetlora/shared/space';
import { readAdapterFacts, readTensorFile } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { findChildren, killChild } from '../lib/child-processes.js';
import type { OpenModels } from '../lib/open-models.js';
import { openTrainingModels, tinyTraining, untilTraining } from '../lib/tiny-training.js';

/** A trainer over a real store, with a base and eight rows imported. */
async function openTrainer(t: Test): Promise<{ models: OpenModels; open(): Trainer; errors: unknown[] }> {
  const models = await openTrainingModels(t);
  const errors: unknown[] = [];
  return {
    models,
    errors,
    open() {
      const trainer = createTrainer({
        catalog: models.catalog,
        repository: models.store.trainings,
        contentFolder: models.content.folder,
        trainingFolder: join(models.content.folder, '..', 'training'),
        host: models.host,
        clock: systemClock,
        newId: models.newId,
        onError: (_, error) => errors.push(error),
      });
      t.teardown(() => trainer.close());
      return trainer;
    },
  };
}

/** Process ids of the trainings that this process started. */
const trainingProcesses = (): Promise<number[]> => findChildren(process.pid, 'training-child.js');
async function untilTrue(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}
const isOver = ({ state }: Training): boolean => state !== 'running';

t.test('a run of 6 steps in its own process ends as an adapter of the catalog', async (t) => {
  const { models, open, errors } = await openTrainer(t);
  const trainer = open();
  const started = await trainer.start(tinyTraining(6));
  const ended = await untilTraining(trainer, started.id, isOver);
  t.match(ended, { state: 'finished', step: 6, error: null });
  t.ok(Number.isFinite(ended.loss), 'the last loss is told');
  const adapter = await models.catalog.findAdapter('digits');
  t.equal(ended.adapterId, adapter.id);
  const source = await models.content.open(adapter.digest);
  t.match(readAdapterFacts(await readTensorFile(source)), { rankMax: 4, alpha: 8 });
  await source.close();
  t.doesNotThrow(() => anchorGenome(bindSearchSpace(adapter.space, { layerCount: 2, ffnWidth: 24 }), 'min'));
  t.same(errors, []);
});

t.test('a closed trainer leaves the run to the next one, which goes on from the checkpoint', async (t) => {
  const { open } = await openTrainer(t);
  const first = open();
  const { id } = await first.start(tinyTraining(400));
  await untilTraining(first, id, ({ step }) => step >= 4);
  await first.close();
  const second = open();
  await second.resume();
  const seen = await untilTraining(second, id, ({ step, loss }) => loss !== null && step >= 4);
  t.equal(seen.state, 'running');
  await second.stop(id);
  const stopped = await untilTraining(second, id, isOver);
  t.equal(stopped.state, 'stopped');
  t.ok(stopped.step >= 4 && stopped.step < 400, `stopped at step ${stopped.step} of 400`);
  await t.rejects(second.stop(id), { code: 'STATE_CONFLICT' });
});

t.test(
  'a training process killed at step 4 or later is started again and goes on from its checkpoint',
  async (t) => {
    const { open } = await openTrainer(t);
    const trainer = open();
    const { id } = await trainer.start(tinyTraining(400));
    await untilTraining(trainer, id, ({ step }) => step >= 4);
    const [victim] = await trainingProcesses();
    process.kill(victim as number, 'SIGKILL');
    await untilTrue(async () => {
      const [next] = await trainingProcesses();
      return next !== undefined && next !== victim;
    });
    const { step: before } = await trainer.show(id);
    const next = await untilTraining(trainer, id, ({ step }) => step !== before);
    t.ok(next.step > 4, `its first step after the kill is ${next.step}`);
    await trainer.stop(id);
    t.match(await untilTraining(trainer, id, isOver), { state: 'stopped', error: null });
  },
);

t.test(
  'killed five times at steps 10 to 90 of 120: losses and adapter file are those of an undisturbed run',
  async (t) => {
    const { models, open, errors } = await openTrainer(t);
    const trainer = open();
    /** Runs a training to its end, killing its process at these steps; the losses that were seen. */
    const train = async (name: string, killAt: readonly number[]) => {
      const losses = new Map<number, number>();
      const repeats: string[] = [];
      const waiting = [...killAt];
      const { id } = await trainer.start({ ...tinyTraining(120), name });
      const ended = await untilTraining(trainer, id, ({ step, loss, state }) => {
        if (loss !== null) {
          const before = losses.get(step) ?? loss;
          if (before !== loss) repeats.push(`step ${step}: ${before}, then ${loss}`);
          losses.set(step, loss);
        }
        if (state === 'running' && waiting[0] !== undefined && step >= waiting[0]) {
          waiting.shift();
          void killChild(process.pid, 'training-child.js');
        }
        return state !== 'running';
      });
      t.match(ended, { state: 'finished', step: 120, error: null });
      t.same(waiting, [], 'all kills were made');
      t.same(repeats, [], 'a step that is made again has the same loss');
      return { losses, adapter: await models.catalog.findAdapter(name) };
    };
    const whole = await train('whole', []);
    // Three deaths in a row would end a run that gets no further; these five are steps apart.
    const killed = await train('killed', [10, 30, 50, 70, 90]);
    t.equal(killed.adapter.digest, whole.adapter.digest, 'the same file, byte for byte');
    const both = [...whole.losses].filter(([step]) => killed.losses.has(step));
    t.ok(both.length > 10, `${both.length} steps were seen in both runs`);
    t.same(
      both.map(([step]) => killed.losses.get(step)),
      both.map(([, loss]) => loss),
    );
    t.same(errors, []);
  },
);

t.test('a process that dies on the spot again and again takes its run down with it', async (t) => {
  const { open } = await openTrainer(t);
  const trainer = open();
  const { id } = await trainer.start(tinyTraining(400));
  let deaths = 0;
  let isOverNow = false;
  const kills = (async () => {
    const seen = new Set<number>();
    while (!isOverNow) {
      const [victim] = await trainingProcesses();
      if (victim !== undefined && !seen.has(victim)) {
        seen.add(victim);
        process.kill(victim, 'SIGKILL');
        deaths++;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const ended = await untilTraining(trainer, id, isOver);
  isOverNow = true;
  await kills;
  t.match(ended, {
    state: 'failed',
    error: /was killed by SIGKILL 4 times at step 0; its last checkpoint stays/,
  });
  t.equal(deaths, 4, 'started again three times');
});

t.test('names, bases and data sets that are not there are refused before a process starts', async (t) => {
  const { open } = await openTrainer(t);
  const trainer = open();
  await t.rejects(trainer.start({ ...tinyTraining(2), base: 'nobody' }), { code: 'NOT_FOUND' });
  await t.rejects(trainer.start({ ...tinyTraining(2), dataset: 'nothing' }), { code: 'NOT_FOUND' });
  await t.rejects(
    trainer.start({ ...tinyTraining(2), space: { ...tinyTraining(2).space, widthPercents: [33] } }),
    {
      code: 'SPACE_INVALID',
    },
  );
  await t.rejects(trainer.show('nobody'), { code: 'NOT_FOUND' });
  t.same(await trainer.list(), []);
});
