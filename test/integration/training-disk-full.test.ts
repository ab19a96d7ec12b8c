import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import { mountSmallDisk, type SmallDisk } from '@fleetlora/bench/lib/small-disk';
import { createTrainer, type Trainer } from '@fleetlora/coordinator/training';
import { systemClock } from '@fleetlora/shared/clock';
import type { Training } from '@fleetlora/shared/protocol';
import type { SearchSpaceFile } from '@fleetlora/shared/space';
import { MiB } from '@fleetlora/shared/units';
import t, { type Test } from 'tap';
import { coded } from '../lib/coded.js';
import { openModels, tinyBaseFiles } from '../lib/open-models.js';
import { tempFolder } from '../lib/temp-folder.js';

const skip = enterOwnMounts() ?? false;

const space: SearchSpaceFile = {
  version: 1,
  name: 'small',
  rankMax: 4,
  alpha: 8,
  ranks: { qkv: [2, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
  widthPercents: [100, 50],
  forms: ['unmerged'],
};
const request = (steps: number) => ({
  name: 'digits',
  base: 'tiny',
  dataset: 'rows',
  space,
  options: { steps, batchRows: 4, checkpointEverySteps: 2, threads: 1, randomSubnets: 1, seed: 5 },
});

/** A trainer whose checkpoints lie on a disk of their own. */
async function openTrainer(t: Test): Promise<{ disk: SmallDisk; open(): Trainer; waits: (string | null)[] }> {
  const models = await openModels(t);
  await models.catalog.importBase({ name: 'tiny', files: await models.upload(tinyBaseFiles()) });
  const rows = Array.from({ length: 8 }, (_, row) =>
    JSON.stringify({ prompt: `${row}?`, completion: ` ${row}` }),
  );
  const digest = await models.content.put(new TextEncoder().encode(rows.join('\n')));
  await models.catalog.importDataset({ name: 'rows', files: { all: digest } });
  const disk = await mountSmallDisk(join(await tempFolder(t), 'disk'), 8 * MiB, 16);
  t.teardown(() => disk.unmount());
  const waits: (string | null)[] = [];
  return {
    disk,
    waits,
    open() {
      const trainer = createTrainer({
        catalog: models.catalog,
        repository: models.store.trainings,
        contentFolder: models.content.folder,
        trainingFolder: join(disk.folder, 'training'),
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
async function until(
  trainer: Trainer,
  id: string,
  isDone: (training: Training) => boolean,
): Promise<Training> {
  for (;;) {
    const training = await trainer.show(id);
    if (isDone(training)) return training;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
const untilWaiting = async (waits: readonly unknown[]): Promise<void> => {
  while (waits.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
};

t.test(
  'a run whose checkpoint finds no space stays running and waits; asked to stop, it stops',
  { skip },
  async (t) => {
    const { disk, open, waits } = await openTrainer(t);
    const trainer = open();
    const { id } = await trainer.start(request(100_000));
    await until(trainer, id, ({ step }) => step >= 4);
    await disk.fill();
    await untilWaiting(waits);
    t.match(
      waits[0],
      /^cannot write .*checkpoint\.safetensors: the disk is full, \d+ bytes are free, \d+ are needed/,
    );
    t.match(await trainer.show(id), { state: 'running', error: null });
    t.same(
      await readdir(join(disk.folder, 'training', id)),
      ['checkpoint.safetensors'],
      'the one from before',
    );
    await trainer.stop(id);
    t.match(await until(trainer, id, ({ state }) => state !== 'running'), { state: 'stopped', error: null });
    t.same(await readdir(join(disk.folder, 'training', id)), ['checkpoint.safetensors']);
  },
);

t.test('a trainer that is closed while its run waits leaves it to the next one', { skip }, async (t) => {
  const { disk, open, waits } = await openTrainer(t);
  const first = open();
  const { id } = await first.start(request(100_000));
  await until(first, id, ({ step }) => step >= 4);
  await disk.fill();
  await untilWaiting(waits);
  await first.close();
  await disk.empty();
  const second = open();
  await second.resume();
  const seen = await until(second, id, ({ step, loss }) => loss !== null && step >= 6);
  t.match(seen, { state: 'running', error: null });
  await second.stop(id);
  await until(second, id, ({ state }) => state !== 'running');
});

t.test('a run that finds no room for its folder is refused, and nothing is recorded', { skip }, async (t) => {
  const { disk, open } = await openTrainer(t);
  const trainer = open();
  const { id } = await trainer.start(request(2));
  t.match(await until(trainer, id, ({ state }) => state !== 'running'), { state: 'finished' });
  // Files, not bytes, run out here: a folder takes no page.
  const small = await mountSmallDisk(join(disk.folder, 'training'), MiB, 1);
  t.teardown(() => small.unmount());
  await t.rejects(
    trainer.start({ ...request(2), name: 'more' }),
    coded('DISK_FULL', 'no room for another file'),
  );
  t.equal((await trainer.list()).length, 1);
});
