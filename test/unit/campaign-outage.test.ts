import { CodedError } from '@fleetlora/shared/errors';
import t from 'tap';
import { costByMacs, searchStart, World } from '../lib/campaign-parts.js';

const search = searchStart({ trials: 6, finalRows: 0, finalPoints: 0 });
const openWorld = () => new World([{ id: 'dev_0000000001', deviceClass: 'board', measure: costByMacs }]);

const closed = (code: 'STORE_UNAVAILABLE' | 'DISK_FULL') =>
  new CodedError(code, 'the store was closed while it was unavailable');
const outages = {
  STORE_UNAVAILABLE: closed('STORE_UNAVAILABLE'),
  DISK_FULL: closed('DISK_FULL'),
  'a failed query for that reason': new Error('Failed query', { cause: closed('STORE_UNAVAILABLE') }),
};
for (const [name, outage] of Object.entries(outages))
  t.test(`a store that stops waiting with ${name}, and is back at once, ends no search`, async (t) => {
    const world = openWorld();
    const stopping = world.open();
    await stopping.campaign.start(search);
    await world.settled(() => world.trials.filter(({ state }) => state === 'finished').length === 2);
    world.outage = outage;
    await world.settled(() => world.outage === null);
    await stopping.campaign.close();
    stopping.kill();
    t.match(await stopping.campaign.show('search'), { state: 'running', reason: null });

    const next = world.open();
    await next.campaign.resume();
    await world.settled();
    t.match(await next.campaign.show('search'), { state: 'finished', finishedTrials: 6 });
  });

t.test('a start that is refused by the store fails no search either', async (t) => {
  const world = openWorld();
  const before = world.open();
  await before.campaign.start(search);
  await world.settled(() => world.jobs.some(({ end }) => end !== null));
  before.kill();
  // The row of the trial whose job ended meanwhile is written at the start.
  const stopping = world.open();
  world.outage = closed('STORE_UNAVAILABLE');
  await stopping.campaign.resume().catch(() => {});
  await stopping.campaign.close();
  stopping.kill();
  t.match(await stopping.campaign.show('search'), { state: 'running', reason: null });
});

t.test('any other error of a step ends its search', async (t) => {
  const world = openWorld();
  const { campaign } = world.open();
  await campaign.start(search);
  await world.settled(() => world.trials.length === 2);
  world.outage = new Error('no such column');
  await world.settled();
  t.match(await campaign.show('search'), { state: 'failed', reason: 'no such column' });
});
