import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import { mountSmallDisk, type SmallDisk } from '@fleetlora/bench/lib/small-disk';
import type { HostLease } from '@fleetlora/coordinator/host';
import { createTrainer, type Trainer } from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import { MiB } from '@fleetlora/shared/units';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { tempFolder } from '../lib/temp-folder.js';
import { openTrainingModels, tinyTraining, untilTraining } from '../lib/tiny-training.js';

const skip = enterOwnMounts() ?? false;

/** A trainer whose checkpoints lie on a disk of their own. */
async function openTrainer(
  t: Test,
): Promise<{ disk: SmallDisk; host: HostLease; open(): Trainer; waits: (string | null)[] }> {
  const models = await openTrainingModels(t);
  const disk = await mountSmallDisk(join(await tempFolder(t), 'disk'), 8 * MiB, 16);
  t.teardown(() => disk.unmount());
  const waits: (string | null)[] = [];
  return {
    disk,
    host: models.host,
    waits,
    open() {
      const trainer = createTrainer({
        catalog: models.catalog,
        repository: models.store.trainings,
        contentFolder: models.content.folder,
        trainingFolder: join(disk.folder, 'training'),
        host: models.host,
        clock: systemClock,
        newId: models.newId,
        onError: () => {},
        onWait: (_, reason) => void waits.push(reason),
      });
      t.teardown(() => trainer.close());
      return trainer;
    },
  };
}
/** Fills the disk until the run waits: a checkpoint that takes an older one's place gives room back. */
const fillUntilWaiting = async (disk: SmallDisk, waits: readonly unknown[]): Promise<void> => {
  while (waits.length === 0) {
    await disk.fill();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

t.test(
  'a run whose checkpoint finds no space stays running and waits; asked to stop, it stops',
  { skip },
  async (t) => {
    const { disk, open, waits } = await openTrainer(t);
    const trainer = open();
    const { id } = await trainer.start(tinyTraining(100_000));
    await untilTraining(trainer, id, ({ step }) => step >= 4);
    await fillUntilWaiting(disk, waits);
    t.match(
      waits[0],
      /^cannot write .*checkpoint\.safetensors: the disk is full, \d+ bytes are free, \d+ are needed/,
    );
    t.match(await trainer.show(id), { state: 'running', error: null, waitReason: /the disk is full/ });
    t.same(
      await readdir(join(disk.folder, 'training', id)),
      ['checkpoint.safetensors'],
      'the one from before',
    );
    await trainer.stop(id);
    t.match(await untilTraining(trainer, id, ({ state }) => state !== 'running'), {
      state: 'stopped',
      error: null,
    });
    t.same(await readdir(join(disk.folder, 'training', id)), ['checkpoint.safetensors']);
  },
);

t.test(
  'a run that waits for space leaves the machine to a measurement, and goes on after both',
  { skip },
  async (t) => {
    const { disk, host, open, waits } = await openTrainer(t);
    const trainer = open();
    const { id } = await trainer.start(tinyTraining(100_000));
    await untilTraining(trainer, id, ({ step }) => step >= 4);
    await fillUntilWaiting(disk, waits);
    const { measuring } = host;
    await measuring.look(async (granted) => ({ running: granted, wanted: !granted }));
    t.equal(measuring.state, 'running', 'at once');
    await disk.empty();
    // The checkpoint is written; its step is the last one before the pause.
    const paused = await untilTraining(
      trainer,
      id,
      ({ waitReason }) => waitReason === 'the machine measures',
    );
    await measuring.look(async () => ({ running: false, wanted: false }));
    const next = await untilTraining(trainer, id, ({ step }) => step > paused.step);
    t.match(next, { state: 'running', waitReason: null });
    await trainer.stop(id);
    t.match(await untilTraining(trainer, id, ({ state }) => state !== 'running'), { state: 'stopped' });
  },
);

t.test('a trainer that is closed while its run waits leaves it to the next one', { skip }, async (t) => {
  const { disk, open, waits } = await openTrainer(t);
  const first = open();
  const { id } = await first.start(tinyTraining(100_000));
  await untilTraining(first, id, ({ step }) => step >= 4);
  await fillUntilWaiting(disk, waits);
  await first.close();
  await disk.empty();
  const second = open();
  await second.resume();
  const seen = await untilTraining(second, id, ({ step, loss }) => loss !== null && step >= 6);
  t.match(seen, { state: 'running', error: null });
  await second.stop(id);
  await untilTraining(second, id, ({ state }) => state !== 'running');
});

t.test('a run that finds no room for its folder is refused, and nothing is recorded', { skip }, async (t) => {
  const { disk, open } = await openTrainer(t);
  const trainer = open();
  const { id } = await trainer.start(tinyTraining(2));
  t.match(await untilTraining(trainer, id, ({ state }) => state !== 'running'), { state: 'finished' });
  // Files, not bytes, run out here: a folder takes no page.
  const small = await mountSmallDisk(join(disk.folder, 'training'), MiB, 1);
  t.teardown(() => small.unmount());
  await t.rejects(
    trainer.start({ ...tinyTraining(2), name: 'more' }),
    coded('DISK_FULL', 'no room for another file'),
  );
  t.equal((await trainer.list()).length, 1);
});
