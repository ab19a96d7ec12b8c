import { importTinyModels, type KillModels } from '@fleetlora/bench/lib/kill-models';
import { type KillableFleet, startKillableFleet, within } from '@fleetlora/bench/lib/killable-fleet';
import { startTrainingWatch } from '@fleetlora/bench/lib/training-watch';
import type { Training, TrainingStart } from '@fleetlora/shared/protocol';
import { decodeGenome, oneCandidateSpace } from '@fleetlora/shared/space';
import t from 'tap';
import { killChild } from '../lib/child-processes.js';
import { tempFolder } from '../lib/temp-folder.js';

t.setTimeout(180_000);
const skip = process.platform === 'linux' ? false : 'looks for processes in /proc';

/** Waits until the training has made this step. */
async function untilStep(fleet: KillableFleet, id: string, wanted: number): Promise<void> {
  const show = () => fleet.call<Training>(`GET /v1/trainings/${id}`);
  const found = await within(60_000, show, ({ step, state }) => step >= wanted || state !== 'running', 10);
  if (found?.state !== 'running') throw new Error(`step ${wanted} was not seen: ${JSON.stringify(found)}`);
}

type Kill = readonly [step: number, victim: 'worker' | 'coordinator'];

const runs: readonly [
  string,
  (models: KillModels) => Pick<TrainingStart, 'space' | 'options'>,
  readonly Kill[],
][] = [
  [
    'a super-adapter',
    ({ space, training }) => ({ space, options: { ...training, steps: 240, batchRows: 24 } }),
    [
      [25, 'worker'],
      [70, 'coordinator'],
      [115, 'worker'],
      [160, 'coordinator'],
    ],
  ],
  [
    'one candidate, from the factors of a super-adapter, as `adapter tune` trains it',
    ({ space, adapter, training }) => ({
      space: oneCandidateSpace(space, decodeGenome('g1:u:1.1.2.2.6/4.4.4.4.8')),
      options: {
        ...training,
        sampling: 'uniform',
        randomSubnets: 1,
        from: adapter,
        steps: 600,
        batchRows: 32,
      },
    }),
    [
      [25, 'worker'],
      [150, 'coordinator'],
    ],
  ],
];

for (const [name, requestOf, kills] of runs) {
  t.test(
    `${name}, training process and coordinator killed in turn: as in an undisturbed run`,
    { skip },
    async (t) => {
      const folder = await tempFolder(t);
      const fleet = await startKillableFleet(folder, null);
      t.teardown(() => fleet.stop());
      const models = await importTinyModels(fleet, folder);
      const { base, dataset } = models;
      const watch = await startTrainingWatch(fleet, { base, dataset, ...requestOf(models) });
      t.teardown(() => watch.stop());
      const { id } = await watch.current();
      for (const [step, victim] of kills) {
        await untilStep(fleet, id, step);
        if (victim === 'worker') await killChild(fleet.pidOf('coordinator'), 'training-child.js');
        else {
          await fleet.kill('coordinator');
          await fleet.start('coordinator');
        }
      }
      t.ok(await watch.finish(), 'it ends');
      await watch.stop();
      t.same(watch.differences, []);
      t.match(watch.counts, { ended: 1, equalAdapters: 1 });
      t.ok(watch.counts.comparedSteps > 0, `${watch.counts.comparedSteps} losses were compared`);
    },
  );
}
