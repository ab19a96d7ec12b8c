import t from 'tap';
import { costByMacs, type FakeDevice, searchStart, World } from '../lib/campaign-parts.js';

const board = (change: Partial<FakeDevice> = {}): FakeDevice => ({
  id: 'dev_0000000001',
  deviceClass: 'board',
  measure: costByMacs,
  ...change,
});
/** Devices that measure for as long as it takes to propose some thirty trials. */
function slowWorld(...devices: FakeDevice[]): World {
  const world = new World(devices);
  world.turnsAJob = 100;
  return world;
}

for (const [ahead, most] of [
  [undefined, 1],
  [1, 1],
  [5, 5],
  [64, 30],
] as const)
  t.test(
    `ahead ${ahead}: at most ${most} of 30 trials wait on one device, all are measured once`,
    async (t) => {
      const world = slowWorld(board());
      const { campaign } = world.open();
      await campaign.start(searchStart({ trials: 30, ...(ahead && { ahead }) }));
      await world.settled();
      t.equal(world.mostWaiting, most);
      t.same(world.collisions, []);
      t.equal(world.jobs.length, 30);
      t.equal((await campaign.show('search')).finishedTrials, 30);
    },
  );

t.test('ahead 4 on the coordinator itself: scores run between the jobs of a queue', async (t) => {
  const world = slowWorld(board({ bootId: 'host' }));
  world.parallel = 2;
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 30, ahead: 4 }));
  const unscored = (): number =>
    world.trials.filter(({ measurement, score }) => measurement !== null && score === null).length;
  let most = 0;
  await world.settled(() => {
    most = Math.max(most, unscored());
    return false;
  });
  t.same(world.collisions, [], 'nothing is measured while a score is computed, nor the other way round');
  // A score that waits comes before the next job; two are computed at once.
  t.ok(most <= 3, `at most ${most} results waited for their score`);
  t.ok(world.mostWaiting >= 2, `${world.mostWaiting} jobs waited`);
  t.equal((await campaign.show('search')).finishedTrials, 30);
});

t.test('ahead 3 on two devices of one machine: they share the three jobs', async (t) => {
  const far = { bootId: 'far' };
  const world = slowWorld(board(far), board({ ...far, id: 'dev_0000000002' }));
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 20, ahead: 3 }));
  await world.settled();
  t.equal(world.mostWaiting, 3);
  t.same(world.collisions, []);
  const shares = ['1', '2'].map(
    (digit) => world.jobs.filter(({ deviceId }) => deviceId.endsWith(digit)).length,
  );
  t.same(shares, [10, 10]);
});

t.test('two searches, ahead 6 and 1, both keep their queues on one device', async (t) => {
  const world = slowWorld(board());
  const { campaign } = world.open();
  await campaign.start(searchStart({ name: 'deep', trials: 24, ahead: 6 }));
  await campaign.start(searchStart({ name: 'plain', trials: 8, seed: 2 }));
  await world.settled();
  t.same(world.collisions, []);
  t.equal(world.mostWaiting, 7);
  for (const name of ['deep', 'plain']) t.match(await campaign.show(name), { state: 'finished' });
});

t.test('a trial that fails is tried again though the device has others waiting', async (t) => {
  const failsOnce: FakeDevice['measure'] = (genome, attempt) =>
    attempt === 1 && genome.layers[0]?.width === 384
      ? { outcome: 'failed', reason: 'worn out' }
      : costByMacs(genome);
  const world = slowWorld(board({ measure: failsOnce }));
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 12, ahead: 4 }));
  await world.settled();
  t.match(await campaign.show('search'), { state: 'finished', finishedTrials: 12 });
  t.ok(world.jobs.length > 12);
});

for (const every of [7, 23])
  t.test(`ahead 5, killed every ${every} calls and resumed: every candidate once, none lost`, async (t) => {
    const world = slowWorld(board({ bootId: 'host' }));
    const spec = searchStart({ trials: 15, ahead: 5 });
    let life = world.open(9);
    void life.campaign.start(spec);
    for (let lives = 0; lives < 200; lives++) {
      await world.settled(() => life.dead() && world.measuringJobs().length === 0);
      if (world.searches[0]?.state === 'finished') break;
      life = world.open(every);
      void life.campaign.resume();
    }
    t.equal(world.searches[0]?.state, 'finished');
    t.equal(new Set(world.trials.map(({ genome }) => genome)).size, 15);
    const measured = world.jobs
      .filter(({ end }) => end?.outcome === 'measured')
      .map(({ trialId }) => trialId);
    t.equal(measured.length, 15, 'none is measured twice');
    t.equal(new Set(measured).size, 15);
    const sequences = world.trials.flatMap(({ askedSequence, toldSequence }) => [
      askedSequence,
      toldSequence ?? 0,
    ]);
    t.same(
      sequences.sort((a, b) => a - b),
      Array.from({ length: 30 }, (_, index) => index + 1),
      'asks and tells without a gap',
    );
  });
