import { batchSizeOf, timeoutOf } from '@fleetlora/coordinator/campaign';
import { defaultMeasurePlan, genomesOf } from '@fleetlora/shared/protocol';
import {
  bindSearchSpace,
  decodeGenome,
  type Genome,
  type SearchSpaceFile,
  shapeOf,
} from '@fleetlora/shared/space';
import t from 'tap';
import {
  adapter,
  costByMacs,
  type FakeDevice,
  measurement,
  searchStart,
  World,
} from '../lib/campaign-parts.js';

const board = (change: Partial<FakeDevice> = {}): FakeDevice => ({
  id: 'dev_0000000001',
  deviceClass: 'board',
  measure: costByMacs,
  ...change,
});
/** Candidates that differ in ranks alone. */
const ranksAlone: SearchSpaceFile = { ...adapter.space, widthPercents: [100], forms: ['unmerged'] };
const shapesOf = (genomes: readonly string[]): Set<string> =>
  new Set(genomes.map((genome) => shapeOf(decodeGenome(genome))));
const sizesOf = (world: World): number[] => world.jobs.map(({ body }) => genomesOf(body).length);
/** Ids of trials by job that brought measurements, in order. */
const measuredTrials = (world: World): string[] =>
  world.jobs.flatMap(({ end, trialIds }) => (end?.outcome === 'measured' ? trialIds : []));

for (const [name, change, batch, size] of [
  ['ranks alone', {}, undefined, 4],
  ['ranks alone, also merged', { forms: ['unmerged', 'merged'] }, undefined, 4],
  ['ranks alone, only merged', { forms: ['merged'] }, undefined, 1],
  ['ranks and widths', { widthPercents: [100, 50] }, undefined, 1],
  ['widths alone', { ranks: { ...ranksAlone.ranks, qkv: [32] }, widthPercents: [100, 50] }, undefined, 1],
  ['ranks and widths, 6 wanted', { widthPercents: [100, 50] }, 6, 6],
  ['ranks alone, 1 wanted', {}, 1, 1],
] as const)
  t.test(`a space of ${name}: batches of ${size}`, async (t) => {
    const file = { ...ranksAlone, ...(change as Partial<SearchSpaceFile>) };
    t.equal(batchSizeOf({ batch }, bindSearchSpace(file, { layerCount: 8, ffnWidth: 768 })), size);
  });

t.test('time for a job: a quarter more for each further candidate, continuous runs on top', async (t) => {
  const plan = defaultMeasurePlan;
  t.equal(timeoutOf(900_000, 1, plan), 900_000);
  t.equal(timeoutOf(900_000, 4, plan), 1_575_000);
  t.equal(timeoutOf(900_000, 2, { ...plan, sustainedSeconds: 60 }), 1_125_000 + 120_000);
  t.equal(timeoutOf(900_000, 8, { ...plan, sustainedSeconds: 600 }), 3_600_000, 'no more than a job can say');
});

for (const [batch, trials, sizes] of [
  [undefined, 18, [4, 4, 4, 4, 2]],
  [1, 5, [1, 1, 1, 1, 1]],
  [8, 18, [8, 8, 2]],
] as const)
  t.test(
    `batch ${batch}: ${trials} trials of one shape in ${sizes.length} jobs, each measured once`,
    async (t) => {
      const world = new World([board()]);
      const { campaign } = world.open();
      await campaign.start(searchStart({ trials, space: ranksAlone, ...(batch && { batch }) }));
      await world.settled();
      t.same(sizesOf(world), sizes);
      for (const { body } of world.jobs) t.equal(shapesOf(genomesOf(body)).size, 1, 'one shape');
      t.same(
        measuredTrials(world),
        world.trials.map(({ id }) => id),
        'in the order of their numbers',
      );
      for (const trial of world.trials) {
        const end = costByMacs(decodeGenome(trial.genome));
        t.same(
          trial.measurement?.decode.p50Ms,
          end.outcome === 'measured' && end.measurements[0]?.decode.p50Ms,
          'each has its own figure',
        );
      }
      t.match(await campaign.show('search'), { state: 'finished', finishedTrials: trials });
    },
  );

t.test('the results of a batch are known before the next one is proposed', async (t) => {
  const world = new World([board()]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 16, space: ranksAlone }));
  await world.settled();
  for (const { askedSequence, number } of world.trials) {
    const before = world.trials.filter((trial) => (trial.toldSequence ?? 0) < askedSequence).length;
    t.equal(before, 4 * Math.floor((number - 1) / 4), `trial ${number}`);
  }
});

t.test('two devices: one proposes while the other measures, both in batches', async (t) => {
  const world = new World([board(), board({ id: 'dev_0000000002' })]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 32, space: ranksAlone }));
  await world.settled();
  t.same(world.collisions, []);
  t.equal(new Set(measuredTrials(world)).size, 32);
  t.ok(Math.max(...sizesOf(world)) === 4 && world.jobs.length <= 12, `${sizesOf(world)}`);
});

t.test('a mixed space, batch 3: merged ones go alone, others by shape, none is left over', async (t) => {
  // Two widths of the first layer: shapes repeat often.
  const space: SearchSpaceFile = { ...adapter.space, widthPercents: [100, 50], layers: [0] };
  const world = new World([board()]);
  let mostOpen = 0;
  const { campaign } = world.open();
  // 3 ranks, 2 widths, 2 forms: all of the space.
  await campaign.start(searchStart({ trials: 12, space, batch: 3, strategy: 'random' }));
  await world.settled(() => {
    const busy = new Set(world.measuringJobs().flatMap(({ trialIds }) => trialIds));
    const open = world.trials.filter(
      ({ id, measurement, state }) => state === 'pending' && measurement === null && !busy.has(id),
    );
    mostOpen = Math.max(mostOpen, open.length);
    return false;
  });
  t.same(
    measuredTrials(world).sort(),
    world.trials.map(({ id }) => id).sort(),
    'every candidate of the space, once',
  );
  for (const { body } of world.jobs) {
    const genomes = genomesOf(body);
    t.equal(shapesOf(genomes).size, 1);
    if (genomes.length > 1) t.ok(genomes.every((genome) => decodeGenome(genome).form === 'unmerged'));
  }
  t.ok(
    sizesOf(world).some((size) => size > 1),
    `${sizesOf(world)}`,
  );
  t.ok(mostOpen <= 3, `at most ${mostOpen} candidates were proposed and not given out`);
});

t.test('a device with an older agent gets one candidate a job', async (t) => {
  const { sessions, provider, ...plan } = defaultMeasurePlan;
  const world = new World([board({ takesBatches: false })]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 6, space: ranksAlone, plan }));
  await world.settled();
  t.same(sizesOf(world), [1, 1, 1, 1, 1, 1]);
  t.match(await campaign.show('search'), { state: 'finished', finishedTrials: 6 });
});

const isMin = (genome: Genome): boolean => genome.layers.every(({ ranks }) => ranks.qkv === 4);
for (const [outcome, jobs, state] of [
  ['infeasible', 1 + 4, 'infeasible'],
  ['failed', 1 + 3 + 3, 'failed'],
  ['timedOut', 1 + 3 + 3, 'failed'],
  ['rejected', 1 + 3 + 3, 'failed'],
] as const)
  t.test(`a batch of 4 with one that ends ${outcome}: ${jobs} jobs, the others are measured`, async (t) => {
    const measure = (genome: Genome) =>
      isMin(genome) ? ({ outcome, reason: 'it broke' } as const) : costByMacs(genome);
    const world = new World([board({ measure })]);
    const { campaign } = world.open();
    await campaign.start(searchStart({ trials: 4, space: ranksAlone, finalRows: 0 }));
    await world.settled();
    const trials = await campaign.trials('search');
    t.same(
      trials.map((trial) => trial.state),
      trials.map(({ label }) => (label === 'min' ? state : 'finished')),
    );
    t.equal(sizesOf(world)[0], 4);
    t.ok(
      sizesOf(world)
        .slice(1)
        .every((size) => size === 1),
      'then one by one',
    );
    t.equal(world.jobs.length, jobs, 'the batch counts as no attempt');
  });

t.test('a batch that comes back with too few measurements is taken apart', async (t) => {
  let jobs = 0;
  const world = new World([
    board({
      measure(genome) {
        const one = measurement(1, 1, genome);
        // The first job of four answers with three.
        return { outcome: 'measured', measurements: jobs++ === 0 ? [] : [one] };
      },
    }),
  ]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 4, space: ranksAlone }));
  await world.settled();
  t.match(await campaign.show('search'), { state: 'finished', finishedTrials: 4 });
  t.same(sizesOf(world), [4, 1]);
});

t.test('a batch that is postponed comes back as a batch', async (t) => {
  let postponed = 0;
  const world = new World([
    board({
      measure: (genome) =>
        postponed++ < 4 ? { outcome: 'postponed', reason: 'not on mains power' } : costByMacs(genome),
    }),
  ]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 8, space: ranksAlone }));
  await world.settled();
  t.same(sizesOf(world), [4, 4, 4]);
  t.same(world.jobs[1]?.trialIds, world.jobs[0]?.trialIds);
});

// -- crashes ---------------------------------------------------------------------------------

/** One candidate cannot run, one fails once: batches are taken apart in both ways. */
const fragile = (): FakeDevice =>
  board({
    bootId: 'host',
    measure(genome, attempt) {
      const first = genome.layers[0]?.ranks.qkv;
      const last = genome.layers.at(-1)?.ranks.qkv;
      if (first === 4 && last === 32) return { outcome: 'infeasible', reason: 'killed' };
      if (first === 32 && last === 4 && attempt === 1) return { outcome: 'failed', reason: 'worn out' };
      return costByMacs(genome);
    },
  });
const spec = searchStart({ trials: 13, seed: 5, space: ranksAlone, sentinelEvery: 2 });
/** What must not depend on where a crash was: everything but ids. */
const story = (world: World) =>
  world.trials.map(({ id, searchId, correction, ...trial }) => ({
    ...trial,
    correction: correction && { decode: correction.decode, prefill: correction.prefill },
  }));

async function uninterrupted(): Promise<{ world: World; steps: number }> {
  const world = new World([fragile()]);
  const { campaign, steps } = world.open();
  await campaign.start(spec);
  await world.settled();
  await campaign.close();
  return { world, steps: steps() };
}

t.test('killed after any call to the outside and resumed, a search in batches ends the same', async (t) => {
  const whole = await uninterrupted();
  t.ok(whole.steps > 60, `${whole.steps} calls to the outside`);
  t.ok(
    whole.world.jobs.some(({ kind }) => kind === 'sentinel') && sizesOf(whole.world).includes(4),
    `${whole.world.jobs.map(({ kind, body }) => `${kind} ${genomesOf(body).length}`)}`,
  );
  t.ok(
    whole.world.jobs.some(({ end, trialIds }) => end?.outcome !== 'measured' && trialIds.length > 1),
    'a batch came to nothing',
  );
  for (let steps = 1; steps < whole.steps; steps++) {
    const world = new World([fragile()]);
    const first = world.open(steps);
    void first.campaign.start(spec);
    await world.settled(() => first.dead() && world.measuringJobs().length === 0);
    const { campaign } = world.open();
    await campaign.resume();
    await world.settled();
    const measured = measuredTrials(world);
    const same = JSON.stringify(story(world)) === JSON.stringify(story(whole.world));
    if (!same) t.same(story(world), story(whole.world), `killed after ${steps} calls`);
    if (new Set(measured).size !== measured.length) t.fail(`killed after ${steps} calls: measured twice`);
    await campaign.close();
  }
});

for (const every of [7, 23])
  t.test(`in batches, ahead 3, killed every ${every} calls: every candidate once, none lost`, async (t) => {
    const world = new World([fragile(), board({ id: 'dev_0000000002' })]);
    let life = world.open(9);
    void life.campaign.start({ ...spec, trials: 30, ahead: 3 });
    for (let lives = 0; lives < 300; lives++) {
      await world.settled(() => life.dead() && world.measuringJobs().length === 0);
      if (world.searches[0]?.state === 'finished') break;
      life = world.open(every);
      void life.campaign.resume();
    }
    t.equal(world.searches[0]?.state, 'finished');
    t.equal(new Set(world.trials.map(({ genome }) => genome)).size, 30);
    const measured = measuredTrials(world);
    t.equal(new Set(measured).size, measured.length, 'none is measured twice');
    t.same(
      new Set(measured),
      new Set(world.trials.filter(({ state }) => state === 'finished').map(({ id }) => id)),
    );
    t.same(
      world.trials
        .flatMap(({ askedSequence, toldSequence }) => [askedSequence, toldSequence ?? 0])
        .sort((a, b) => a - b),
      Array.from({ length: 60 }, (_, index) => index + 1),
      'asks and tells without a gap',
    );
  });
