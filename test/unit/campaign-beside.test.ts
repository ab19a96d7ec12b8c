import type { JobEnd } from '@fleetlora/coordinator/campaign';
import type { Beside } from '@fleetlora/shared/protocol';
import { costOf, type Genome } from '@fleetlora/shared/space';
import t from 'tap';
import { costByMacs, type FakeDevice, SHAPE, searchStart, slowed, World } from '../lib/campaign-parts.js';

const spec = (change = {}) => searchStart({ trials: 12, finalRows: 0, sentinelEvery: 100, ...change });

/** Its speed changes from job to job, and the turns with the sentinel know nothing of that. */
function swinging(withTurns: boolean): FakeDevice {
  let jobs = 0;
  let sentinelMacs = 1;
  const ratioOf = (genome: Genome): Beside['decode'] => ({
    ratio: costOf(genome, SHAPE).macs / sentinelMacs,
    p50Ms: 1,
    sentinelP50Ms: 1,
    samplesMs: [],
    sentinelSamplesMs: [],
    sessionSizes: [1],
  });
  const answer = (genome: Genome): JobEnd => {
    const turns = { sentinel: 'g1:u:1.1.1.1.1', seed: 1, prefill: ratioOf(genome), decode: ratioOf(genome) };
    const slower = 1 + 0.4 * Math.sin(jobs++);
    return {
      outcome: 'measured',
      measurements: [{ ...slowed(genome, slower), ...(withTurns && { beside: turns }) }],
    };
  };
  return {
    id: 'dev_0000000001',
    deviceClass: 'board',
    measure: answer,
    sentinel(genome) {
      sentinelMacs = costOf(genome, SHAPE).macs;
      return { outcome: 'measured', measurements: [slowed(genome, 1)] };
    },
  };
}

async function run(device: FakeDevice, change = {}): Promise<World> {
  const world = new World([device]);
  const { campaign } = world.open();
  await campaign.start(spec(change));
  await world.settled();
  t.equal((await campaign.show('search')).state, 'finished');
  return world;
}

t.test('a machine that swings by 40 % from job to job: ranked as if it stood still', async (t) => {
  const steady = await run({ ...swinging(false), measure: costByMacs });
  const swung = await run(swinging(true));
  t.same(
    swung.trials.map(({ genome }) => genome),
    steady.trials.map(({ genome }) => genome),
    'the strategy was told the same',
  );
  const reference = swung.jobs[0];
  t.equal(reference?.kind, 'sentinel');
  for (const [index, { measurement: found, correction }] of swung.trials.entries()) {
    t.equal(correction?.beside, true);
    t.equal(correction?.sentinelJobId, reference?.jobId);
    const wanted = steady.trials[index]?.measurement?.decode.p50Ms ?? 0;
    const ranked = (found?.decode.p50Ms ?? 0) / (correction?.decode ?? 0);
    t.ok(Math.abs(ranked / wanted - 1) < 1e-9, `${ranked} ms for ${wanted}`);
  }
});

t.test('jobs of trials name the sentinel, those of the sentinel do not', async (t) => {
  const world = await run(swinging(true));
  const [sentinel, ...trials] = world.jobs;
  t.equal(sentinel?.body.sentinel, undefined);
  t.ok(trials.length >= 12);
  for (const { kind, body } of trials)
    t.equal(body.sentinel, kind === 'trial' ? sentinel?.genome : undefined, kind);
});

for (const change of [{ besideSentinel: false }, { sentinelEvery: 0 }])
  t.test(`${JSON.stringify(change)}: no job names a sentinel`, async (t) => {
    const world = await run({ ...swinging(false), measure: costByMacs }, change);
    t.ok(world.jobs.every(({ body }) => body.sentinel === undefined));
  });

t.test('no ratio: the device’s last sentinel corrects', async (t) => {
  const world = await run(swinging(false));
  for (const { correction } of world.trials) t.equal(correction?.beside, undefined);
});
