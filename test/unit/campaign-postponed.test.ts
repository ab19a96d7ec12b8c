import t from 'tap';
import { costByMacs, type FakeDevice, searchStart, World } from '../lib/campaign-parts.js';

const postponed = { outcome: 'postponed', reason: 'policy of class board: not on mains power' } as const;
const search = searchStart({ trials: 6, finalRows: 0, finalPoints: 0 });

t.test('a trial that was postponed 9 times is measured: only failures count as attempts', async (t) => {
  const seen = new Map<string, number>();
  const reluctant: FakeDevice = {
    id: 'dev_0000000001',
    deviceClass: 'board',
    measure(genome) {
      const key = JSON.stringify(genome);
      const times = seen.get(key) ?? 0;
      seen.set(key, times + 1);
      return times < 9 ? postponed : costByMacs(genome);
    },
  };
  const world = new World([reluctant]);
  const { campaign } = world.open();
  await campaign.start(search);
  await world.settled();
  t.match(await campaign.show('search'), { state: 'finished', finishedTrials: 6 });
  t.equal(world.jobs.length, 6 * 10);
});

t.test('what one device postpones another measures', async (t) => {
  const device = (id: string, measure: FakeDevice['measure']): FakeDevice => ({
    id,
    deviceClass: 'board',
    measure,
  });
  const devices = [device('dev_0000000001', () => postponed), device('dev_0000000002', costByMacs)];
  const world = new World(devices);
  const { campaign } = world.open();
  await campaign.start(search);
  await world.settled();
  const trials = await campaign.trials('search');
  t.same([...new Set(trials.map(({ deviceId }) => deviceId))], ['dev_0000000002']);
  t.match(await campaign.show('search'), { state: 'finished', finishedTrials: 6 });
});

t.test('a restart does not count postponements either', async (t) => {
  let may = false;
  const world = new World([
    {
      id: 'dev_0000000001',
      deviceClass: 'board',
      measure: (genome) => (may ? costByMacs(genome) : postponed),
    },
  ]);
  const before = world.open();
  await before.campaign.start(search);
  await world.settled(() => world.jobs.filter(({ end }) => end !== null).length >= 5);
  before.kill();
  may = true;
  const after = world.open();
  await after.campaign.resume();
  await world.settled();
  t.match(await after.campaign.show('search'), { state: 'finished', finishedTrials: 6 });
});
