import type { Campaign, JobEnd } from '@fleetlora/coordinator/campaign';
import { defaultMeasurePlan, type Measurement } from '@fleetlora/shared/protocol';
import { encodeGenome, type Genome, type SearchSpaceFile } from '@fleetlora/shared/space';
import t from 'tap';
import { adapter, costByMacs, type FakeDevice, searchStart, slowed, World } from '../lib/campaign-parts.js';

const board = (digit: number, change: Partial<FakeDevice> = {}): FakeDevice => ({
  id: `dev_000000000${digit}`,
  deviceClass: 'board',
  measure: costByMacs,
  ...change,
});
/** A device whose speed is that of its last sentinel; `speeds` are those of its sentinels in order, the last one stays. */
function changing(digit: number, speeds: readonly number[], change: Partial<FakeDevice> = {}): FakeDevice {
  let slower = speeds[0] ?? 1;
  const answer = (genome: Genome): JobEnd => ({
    outcome: 'measured',
    measurements: [slowed(genome, slower)],
  });
  return board(digit, {
    measure: answer,
    sentinel(genome, count) {
      slower = speeds[Math.min(count, speeds.length) - 1] ?? 1;
      return answer(genome);
    },
    ...change,
  });
}
const spec = (change = {}) => searchStart({ trials: 9, finalRows: 0, sentinelEvery: 3, ...change });
/** Of the measurements. */
const noticesOf = async (campaign: Campaign): Promise<string[]> =>
  (await campaign.front('search')).notices.filter((notice) => !/held-out|accuracy/.test(notice));
/** "S" for a sentinel, "t" for trials, as a device got them. */
const course = (world: World, digit = 1): string =>
  world.jobs
    .filter(({ deviceId }) => deviceId.endsWith(`${digit}`))
    .map(({ kind }) => (kind === 'sentinel' ? 'S' : 't'))
    .join('');

for (const [sentinelEvery, wanted] of [
  [undefined, 'SttttttttStt'],
  [3, 'StttStttStttSt'],
  [1, 'StStStStStStStStStSt'],
  [1000, 'Stttttttttt'],
  [0, 'tttttttttt'],
] as const)
  t.test(`sentinelEvery ${sentinelEvery}: the course of 10 trials is ${wanted}`, async (t) => {
    const world = new World([changing(1, [1])]);
    const { campaign } = world.open();
    await campaign.start(spec({ trials: 10, sentinelEvery }));
    await world.settled();
    t.equal(course(world), wanted);
    t.equal((await campaign.show('search')).finishedTrials, 10);
  });

t.test('the sentinel is the smallest candidate, unmerged, without a continuous run', async (t) => {
  const space: SearchSpaceFile = { ...adapter.space, forms: ['merged'] };
  const plan = { ...defaultMeasurePlan, sustainedSeconds: 30 };
  const world = new World([changing(1, [1])]);
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 2, space, plan }));
  await world.settled();
  const layer = { ranks: { qkv: 4, o: 4, gateUp: 4, down: 4 }, width: 384 };
  const [sentinel, trial] = world.jobs;
  t.equal(sentinel?.genome, encodeGenome({ form: 'unmerged', layers: Array(8).fill(layer) }));
  t.same(sentinel?.body.plan, defaultMeasurePlan);
  t.same(sentinel?.trialIds, []);
  t.same(trial?.body.plan, plan);
});

t.test('noise between sentinels corrects nothing, and each trial names its sentinel', async (t) => {
  const world = new World([changing(1, [1, 1.029, 0.98])]);
  const { campaign } = world.open();
  await campaign.start(spec());
  await world.settled();
  const sentinels = world.jobs.filter(({ kind }) => kind === 'sentinel').map(({ jobId }) => jobId);
  t.same(
    (await campaign.trials('search')).map(({ correction }) => correction),
    [0, 0, 0, 1, 1, 1, 2, 2, 2].map((place) => ({ decode: 1, prefill: 1, sentinelJobId: sentinels[place] })),
  );
  t.same(await noticesOf(campaign), []);
});

t.test('a drift of 8 % is corrected: candidates are ranked as if there had been none', async (t) => {
  const steady = new World([changing(1, [1])]);
  const drifting = new World([changing(1, [1, 1.08, 1.16, 1.07])]);
  for (const world of [steady, drifting]) {
    const { campaign } = world.open();
    await campaign.start(spec({ trials: 40 }));
    await world.settled();
    t.equal((await campaign.show('search')).state, 'finished');
  }
  t.same(
    drifting.trials.map(({ genome }) => genome),
    steady.trials.map(({ genome }) => genome),
    'the strategy was told the same',
  );
  const factors = [...new Set(drifting.trials.map(({ correction }) => correction?.decode.toFixed(3)))];
  t.same(factors, ['1.000', '1.080', '1.160', '1.070']);
  t.same(drifting.quarantines, [], 'never by more than 10 % at once');
});

t.test('a device half as fast as the reference is corrected, and named', async (t) => {
  const world = new World([changing(1, [1]), changing(2, [2])]);
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 24 }));
  await world.settled();
  const [reference] = world.jobs;
  const trials = await campaign.trials('search');
  for (const { deviceId, correction, genome } of trials) {
    const ownSpeed = deviceId?.endsWith('2') ? 2 : 1;
    const referenceSpeed = reference?.deviceId.endsWith('2') ? 2 : 1;
    t.ok(
      Math.abs((correction?.decode ?? 0) - ownSpeed / referenceSpeed) < 1e-9,
      `${deviceId} ${correction?.decode} for ${genome.slice(0, 8)}`,
    );
  }
  t.equal(new Set(trials.map(({ deviceId }) => deviceId)).size, 2);
  const { notices } = await campaign.front('search');
  t.match(
    notices.find((notice) => notice.includes('another time')),
    /^device board-2 takes another time for the sentinel than the reference device \(decode \+100\.0 %, prefill \+100\.0 %\)/,
  );
  t.same(world.quarantines, []);
});

t.test('the reference is the sentinel that ended first, also after a restart', async (t) => {
  const world = new World([changing(1, [2]), changing(2, [1])]);
  // Asked first, it answers last.
  world.turnsOf.set('dev_0000000001', 60);
  const first = world.open();
  await first.campaign.start(spec({ trials: 20 }));
  await world.settled(() => world.trials.filter(({ measurement }) => measurement).length >= 6);
  first.kill();
  await world.settled(() => world.measuringJobs().length === 0);
  const { campaign } = world.open();
  await campaign.resume();
  await world.settled();
  t.match(world.jobs.slice(0, 2), [
    { deviceId: 'dev_0000000001', kind: 'sentinel' },
    { deviceId: 'dev_0000000002', kind: 'sentinel' },
  ]);
  for (const [digit, factor] of [
    ['1', 2],
    ['2', 1],
  ] as const) {
    const factors = world.trials
      .filter(({ deviceId }) => deviceId?.endsWith(digit))
      .map(({ correction }) => correction?.decode);
    t.same(new Set(factors), new Set([factor]), `device ${digit}`);
  }
  t.equal((await campaign.show('search')).state, 'finished');
});

t.test('a drift of 20 %: quarantine, then a new standing, and its trials are in doubt', async (t) => {
  const device = changing(1, [1, 1.2]);
  const world = new World([device]);
  const { campaign } = world.open();
  await campaign.start(spec());
  await world.settled(() => device.quarantine !== undefined);
  t.match(device.quarantine, /^decode of the sentinel took .* \(\+20\.0 %\), prefill /);
  t.equal(course(world), 'StttS');
  world.devicesChanged();
  t.match(await noticesOf(campaign), [
    /^device board-1 is in quarantine: decode of the sentinel/,
    /^trials #1, #2, #3 are in doubt/,
  ]);
  t.match(await campaign.show('search'), {
    state: 'running',
    reason: /^device board-1 is in quarantine until it qualifies: decode of the sentinel/,
  });
  world.requalify(device);
  await world.settled();
  t.equal(course(world), 'StttSStttSttt', 'the sentinel comes first again');
  t.same(
    world.trials.map(({ correction }) => correction?.decode.toFixed(3)),
    ['1.000', '1.000', '1.000', ...Array(6).fill('1.200')],
  );
  t.equal(world.quarantines.length, 1);
  t.match(await noticesOf(campaign), [/^trials #1, #2, #3 are in doubt/]);
});

t.test('ahead 4: what was measured behind the sentinel that drifted is in doubt as well', async (t) => {
  const device = changing(1, [1, 1.3], { requalifies: true });
  const world = new World([device]);
  world.turnsAJob = 40;
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 12, ahead: 4 }));
  await world.settled();
  t.match(course(world), /^StttSttt?t?SS?/);
  const doubt = (await campaign.front('search')).notices.find((notice) => notice.includes('in doubt'));
  const second = world.jobs.filter(({ kind }) => kind === 'sentinel')[1]?.jobId;
  const behind = world.trials.filter(({ correction }) => correction?.sentinelJobId === second);
  t.ok(behind.length > 0);
  for (const { number, correction } of behind) {
    t.match(doubt, `#${number}`);
    t.equal(correction?.decode.toFixed(2), '1.30', 'corrected by what it measured at');
  }
  t.equal((await campaign.show('search')).finishedTrials, 12);
});

t.test('while one device is in quarantine another goes on', async (t) => {
  const drifting = changing(1, [1, 1.5]);
  const world = new World([drifting, changing(2, [1])]);
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 20 }));
  await world.settled();
  t.match(course(world, 1), /^StttS$/);
  t.equal((await campaign.show('search')).finishedTrials, 20);
});

for (const [outcome, wanted] of [
  ['infeasible', 'StttStttSttt'],
  ['rejected', 'StttStttSttt'],
  ['failed', 'SSStttSSStttSSSttt'],
  ['timedOut', 'SSStttSSStttSSSttt'],
] as const)
  t.test(`a sentinel that ends ${outcome}: ${wanted}, and trials are not corrected`, async (t) => {
    const world = new World([board(1, { sentinel: () => ({ outcome, reason: 'it broke' }) })]);
    const { campaign } = world.open();
    await campaign.start(spec());
    await world.settled();
    t.equal(course(world), wanted);
    t.match(await campaign.show('search'), { state: 'finished', finishedTrials: 9 });
    t.ok(world.trials.every(({ correction }) => correction === null));
  });

t.test('one device cannot run the sentinel, the other can: what is not corrected is named', async (t) => {
  const world = new World([
    board(1, { sentinel: () => ({ outcome: 'infeasible', reason: 'killed' }) }),
    changing(2, [1]),
  ]);
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 12 }));
  await world.settled();
  const { notices } = await campaign.front('search');
  t.match(
    notices.find((notice) => notice.includes('not corrected')),
    /^trials #.* are not corrected: no sentinel was measured before on board-1,/,
  );
});

t.test('a postponed sentinel is asked again and counts as no failure', async (t) => {
  let asked = 0;
  const world = new World([
    board(1, {
      sentinel: (genome) =>
        asked++ < 5
          ? { outcome: 'postponed', reason: 'too warm' }
          : { outcome: 'measured', measurements: [slowed(genome, 1)] },
    }),
  ]);
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 2 }));
  await world.settled();
  t.equal(course(world), 'SSSSSStt');
});

t.test('an older agent measures no sentinel, and nothing of a plan that it does not know', async (t) => {
  const old = board(1, { takesBatches: false });
  const world = new World([old]);
  const { campaign } = world.open();
  await campaign.start(spec({ name: 'new plan', trials: 2 }));
  const { sessions, provider, ...plan } = defaultMeasurePlan;
  await campaign.start(spec({ name: 'old plan', trials: 4, plan }));
  await world.settled(() => world.searches.find(({ name }) => name === 'old plan')?.state === 'finished');
  t.equal(course(world), 'tttt');
  t.match(await campaign.show('new plan'), {
    state: 'running',
    reason: /^no device may measure for it: board-1 has an agent of before 0\.3/,
  });
  old.takesBatches = true;
  world.devicesChanged();
  await world.settled();
  t.match(await campaign.show('new plan'), { state: 'finished', reason: null });
});

t.test('qualifiedOnly: a device waits until it is found steady', async (t) => {
  const device = changing(1, [1], { qualification: null });
  const world = new World([device]);
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 2, qualifiedOnly: true }));
  const waits = async (reason: RegExp): Promise<void> => {
    world.devicesChanged();
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    t.match(await campaign.show('search'), { state: 'running', reason });
    t.equal(world.jobs.length, 0);
  };
  await waits(/^no device may measure for it: board-1 has not qualified$/);
  device.qualification = { accepted: false, spreadPercent: 8.31, atMs: 1 };
  await waits(/board-1 is unsteady \(8\.3 %\)$/);
  world.requalify(device);
  await world.settled();
  t.match(await campaign.show('search'), { state: 'finished', reason: null });
});

t.test('a search that ends while another device measures its sentinel cancels that', async (t) => {
  const slow = changing(2, [1]);
  const world = new World([changing(1, [1]), slow]);
  slow.online = false;
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 6, sentinelEvery: 1000 }));
  await world.settled(() => world.trials.filter(({ measurement }) => measurement).length === 4);
  // Comes when two trials are left, and takes longer for its sentinel than they take.
  world.turnsOf.set(slow.id, 5000);
  slow.online = true;
  world.devicesChanged();
  await world.settled();
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.equal(course(world, 2), 'S');
  t.match(world.jobs.find(({ deviceId }) => deviceId === slow.id)?.end, { outcome: 'canceled' });
  t.equal((await campaign.show('search')).finishedTrials, 6);
});

t.test('notices: flags by count, devices that did not qualify, few sessions', async (t) => {
  const flagged = (flags: Measurement['flags'], genome: Genome): JobEnd => ({
    outcome: 'measured',
    measurements: [{ ...slowed(genome, 1), flags }],
  });
  let trials = 0;
  const world = new World([
    board(1, {
      qualification: null,
      sentinel: (genome) => flagged([], genome),
      measure: (genome) =>
        flagged(trials++ < 2 ? ['busy', 'fewSessions'] : ['emulated', 'fewSessions'], genome),
    }),
    changing(2, [1], { qualification: { accepted: false, spreadPercent: 8.3, atMs: 1 } }),
  ]);
  const { campaign } = world.open();
  await campaign.start(spec({ trials: 8, plan: { ...defaultMeasurePlan, sessions: 3 } }));
  await world.settled();
  const measured = world.trials.filter(({ deviceId }) => deviceId?.endsWith('1')).length;
  t.match(await noticesOf(campaign), [
    new RegExp(`^${measured - 2} of 8 measurements are flagged emulated: an emulated processor`),
    /^2 of 8 measurements are flagged busy: other processes/,
    /^not qualified: board-1, board-2 \(unsteady, 8\.3 %\);/,
    /^measured in 3 sessions: fewer than 5 sessions/,
  ]);
});

t.test('killed after any call: a drift always ends in quarantine, before any further trial', async (t) => {
  const run = (steps?: number) => {
    const world = new World([changing(1, [1, 1.4], { requalifies: true, bootId: 'host' })]);
    return { world, life: world.open(steps) };
  };
  const story = (world: World) => ({
    course: course(world),
    trials: world.trials.map(({ genome, correction, askedSequence, toldSequence }) => ({
      genome,
      factor: correction?.decode,
      askedSequence,
      toldSequence,
    })),
  });
  const whole = run();
  await whole.life.campaign.start(spec());
  await whole.world.settled();
  t.equal(course(whole.world), 'StttSStttSttt');
  const steps = whole.life.steps();
  t.ok(steps > 50, `${steps} calls`);
  for (let step = 1; step < steps; step++) {
    const { world, life } = run(step);
    void life.campaign.start(spec());
    await world.settled(() => life.dead() && world.measuringJobs().length === 0);
    const { campaign } = world.open();
    await campaign.resume();
    await world.settled();
    if (JSON.stringify(story(world)) !== JSON.stringify(story(whole.world)))
      t.same(story(world), story(whole.world), `killed after ${step} calls`);
    if (world.quarantines.length !== 1) t.equal(world.quarantines.length, 1, `killed after ${step} calls`);
    await campaign.close();
  }
});
