import t from 'tap';
import { costByMacs, type FakeDevice, searchStart, World } from '../lib/campaign-parts.js';

const spec = searchStart({ trials: 12, seed: 5 });
/** Two candidates cannot run, and one fails once: every way a trial can end is in the log. */
const device = (): FakeDevice => {
  let calls = 0;
  return {
    id: 'dev_0000000001',
    deviceClass: 'board',
    bootId: 'host',
    measure(genome, attempt) {
      calls++;
      const first = genome.layers[0];
      if (first?.width === 576 && first.ranks.qkv === 4) return { outcome: 'infeasible', reason: 'killed' };
      if (genome.layers.every(({ width }) => width === 384) && attempt === 1)
        return { outcome: 'failed', reason: `call ${calls}` };
      return costByMacs(genome);
    },
  };
};
/** What must not depend on where a crash was: everything but ids. */
const story = (world: World) => world.trials.map(({ id, searchId, ...trial }) => ({ ...trial }));

async function uninterrupted(): Promise<{ world: World; steps: number }> {
  const world = new World([device()]);
  const { campaign, steps } = world.open();
  await campaign.start(spec);
  await world.settled();
  await campaign.close();
  return { world, steps: steps() };
}

t.test('killed after any call to the outside and resumed, a search ends as if it had not been', async (t) => {
  const whole = await uninterrupted();
  t.ok(whole.steps > 60, `${whole.steps} calls to the outside`);
  // The first call stores the search: killed before it, there is nothing to resume.
  for (let steps = 1; steps < whole.steps; steps++) {
    const world = new World([device()]);
    const first = world.open(steps);
    void first.campaign.start(spec);
    await world.settled(() => first.dead() && world.measuringJobs().length === 0);
    const { campaign } = world.open();
    await campaign.resume();
    await world.settled();
    const measured = world.jobs
      .filter(({ end }) => end?.outcome === 'measured')
      .map(({ trialId }) => trialId);
    const same = JSON.stringify(story(world)) === JSON.stringify(story(whole.world));
    if (!same || new Set(measured).size !== measured.length) {
      t.same(story(world), story(whole.world), `killed after ${steps} calls`);
      t.equal(
        new Set(measured).size,
        measured.length,
        `killed after ${steps} calls: no trial is measured twice`,
      );
    }
    await campaign.close();
  }
});

t.test('a search killed again and again every 7 calls still ends the same', async (t) => {
  const whole = await uninterrupted();
  const world = new World([device()]);
  let life = world.open(9);
  void life.campaign.start(spec);
  for (let lives = 0; lives < 100; lives++) {
    await world.settled(() => life.dead() && world.measuringJobs().length === 0);
    if (world.searches[0]?.state === 'finished') break;
    life = world.open(7);
    void life.campaign.resume();
  }
  t.same(story(world), story(whole.world));
});

t.test('resume with a job still at the device waits for it instead of sending another', async (t) => {
  const world = new World([device()]);
  const first = world.open();
  await first.campaign.start(spec);
  await world.settled(() => world.measuringJobs().length === 1);
  first.kill();
  const { campaign } = world.open();
  await campaign.resume();
  await world.settled();
  t.equal(
    world.jobs.filter(({ end }) => end?.outcome === 'measured').length,
    12 - world.trials.filter(({ state }) => state !== 'finished').length,
  );
  t.same(world.collisions, []);
});

t.test('a log that this version would not have written: the search fails, its trials stay', async (t) => {
  const world = new World([device()]);
  const first = world.open();
  await first.campaign.start(spec);
  await world.settled(() => world.trials.length === 6);
  first.kill();
  const place = world.trials.findIndex(({ number }) => number === 5);
  const foreign = world.trials[2]?.genome.replace('16', '32') ?? '';
  world.trials[place] = { ...(world.trials[place] as World['trials'][number]), genome: foreign };
  const { campaign } = world.open();
  await campaign.resume();
  t.match(await campaign.show('search'), { state: 'failed', reason: /trial 5 was .*this version proposes/ });
  t.ok((await campaign.front('search')).points.length > 0);
});

t.test('close, then resume in the same process', async (t) => {
  const whole = await uninterrupted();
  const world = new World([device()]);
  const first = world.open();
  await first.campaign.start(spec);
  await world.settled(() => world.trials.length === 5);
  await first.campaign.close();
  await world.settled(() => world.measuringJobs().length === 0);
  const { campaign } = world.open();
  await campaign.resume();
  await world.settled();
  t.same(story(world), story(whole.world));
});

t.test(
  'three devices on two hosts, killed every 23 calls: every candidate once, none measured twice',
  async (t) => {
    const devices = ['1', '2', '3'].map((digit) => ({
      ...device(),
      id: `dev_000000000${digit}`,
      bootId: digit === '3' ? 'far' : 'host',
    }));
    const world = new World(devices);
    let life = world.open(23);
    void life.campaign.start({ ...spec, trials: 30 });
    for (let lives = 0; lives < 100; lives++) {
      await world.settled(() => life.dead() && world.measuringJobs().length === 0);
      if (world.searches[0]?.state === 'finished') break;
      life = world.open(23);
      void life.campaign.resume();
    }
    t.equal(world.searches[0]?.state, 'finished');
    t.equal(new Set(world.trials.map(({ genome }) => genome)).size, 30);
    const measured = world.jobs.filter(({ end }) => end?.outcome === 'measured').map(({ genome }) => genome);
    t.equal(new Set(measured).size, measured.length);
    const sequences = world.trials.flatMap(({ askedSequence, toldSequence }) => [
      askedSequence,
      toldSequence ?? 0,
    ]);
    t.same(
      sequences.sort((a, b) => a - b),
      Array.from({ length: 60 }, (_, index) => index + 1),
      'asks and tells without a gap',
    );
  },
);
