import { join } from 'node:path';
import { createTrainer, type Trainer, type TrainingCatalog } from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import t, { type Test } from 'tap';
import { findChildren, killChild } from '../lib/child-processes.js';
import { coded } from '../lib/coded.js';
import { openTrainingModels, tinyTraining } from '../lib/tiny-training.js';

t.setTimeout(120_000);

/** A trainer whose catalog is asked through `before`, which may delay or refuse an answer. */
async function openTrainer(
  t: Test,
  before: (method: 'findBase' | 'registerAdapter') => Promise<void>,
): Promise<{ trainer: Trainer; errors: unknown[]; stateOf: (id: string) => Promise<string | undefined> }> {
  const { catalog, content, store, host, newId } = await openTrainingModels(t);
  const asked: TrainingCatalog = {
    ...catalog,
    findBase: (name) => before('findBase').then(() => catalog.findBase(name)),
    registerAdapter: (...given) => before('registerAdapter').then(() => catalog.registerAdapter(...given)),
  };
  const errors: unknown[] = [];
  const trainer = createTrainer({
    catalog: asked,
    repository: store.trainings,
    contentFolder: content.folder,
    trainingFolder: join(content.folder, '..', 'training'),
    host,
    clock: systemClock,
    newId,
    onError: (_, error) => errors.push(error),
  });
  t.teardown(() => trainer.close());
  return { trainer, errors, stateOf: async (id) => (await store.trainings.findTraining(id))?.state };
}
const trainingProcesses = (): Promise<number[]> => findChildren(process.pid, 'training-child.js');
async function untilTrue(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}
/** Something that is waited for until it is opened. */
function createBarrier(): { reached: Promise<void>; pass(): Promise<void>; open(): void } {
  let reach: () => void = () => {};
  let open: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return {
    reached,
    pass() {
      reach();
      return opened;
    },
    open: () => open(),
  };
}

t.test('a stop while the adapter is being stored is refused, and the run finishes', async (t) => {
  const storing = createBarrier();
  const { trainer, stateOf } = await openTrainer(t, async (method) => {
    if (method === 'registerAdapter') await storing.pass();
  });
  const { id } = await trainer.start(tinyTraining(2));
  await storing.reached;
  await t.rejects(trainer.stop(id), coded('STATE_CONFLICT', 'digits'));
  storing.open();
  await untilTrue(async () => (await stateOf(id)) === 'finished');
});

t.test('a trainer that is closed while it starts a killed process again starts none', async (t) => {
  const starting = createBarrier();
  let asked = 0;
  const { trainer, errors, stateOf } = await openTrainer(t, async (method) => {
    // Once by `start` itself, once for the first process, then for the second.
    if (method === 'findBase' && ++asked === 3) await starting.pass();
  });
  const { id } = await trainer.start(tinyTraining(400));
  await killChild(process.pid, 'training-child.js');
  await starting.reached;
  await trainer.close();
  starting.open();
  // Each look takes longer than the few reads that come before a process.
  for (let look = 0; look < 10; look++) t.same(await trainingProcesses(), []);
  t.equal(await stateOf(id), 'running', 'it is for the next start');
  t.same(errors, []);
});

t.test('a store that stops waiting while a killed process is started again fails no run', async (t) => {
  let asked = 0;
  const { trainer, errors, stateOf } = await openTrainer(t, async (method) => {
    if (method === 'findBase' && ++asked === 3)
      throw new CodedError('STORE_UNAVAILABLE', 'the store was closed while it was unavailable');
  });
  const { id } = await trainer.start(tinyTraining(400));
  await killChild(process.pid, 'training-child.js');
  await untilTrue(async () => errors.length > 0 || (await stateOf(id)) !== 'running');
  t.equal(await stateOf(id), 'running');
  t.match(errors, [{ code: 'STORE_UNAVAILABLE' }]);
});
