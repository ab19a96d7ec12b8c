import { dominates } from '@fleetlora/coordinator/search';
import { defaultMeasurePlan } from '@fleetlora/shared/protocol';
import { costOf, decodeGenome, type Genome } from '@fleetlora/shared/space';
import t from 'tap';
import {
  correctRows,
  costByMacs,
  type FakeDevice,
  measurement,
  SHAPE,
  searchStart,
  World,
} from '../lib/campaign-parts.js';

const board = (change: Partial<FakeDevice> = {}): FakeDevice => ({
  id: 'dev_0000000001',
  deviceClass: 'board',
  measure: costByMacs,
  ...change,
});

t.test('a whole search of 20 trials on one device', async (t) => {
  const world = new World([board()]);
  const { campaign } = world.open();
  const started = await campaign.start(searchStart());
  t.match(started, { state: 'running', finishedTrials: 0, spaceSize: 9 ** 8 * 2 });
  await world.settled();

  const search = await campaign.show('search');
  t.match(search, {
    id: started.id,
    state: 'finished',
    finishedTrials: 20,
    infeasibleTrials: 0,
    pendingTrials: 0,
  });
  const trials = await campaign.trials('search');
  t.same(
    trials.map(({ number }) => number),
    Array.from({ length: 20 }, (_, index) => index + 1),
  );
  t.same(
    trials.slice(0, 5).map(({ label }) => label),
    ['max', 'maxMerged', 'middle', 'min', null],
  );
  t.equal(new Set(trials.map(({ genome }) => genome)).size, 20);
  t.equal(world.jobs.length, 20, 'one job a trial');

  const front = await campaign.front(started.id);
  t.same(
    front.baselines.map(({ label }) => label),
    ['max', 'maxMerged', 'middle', 'min'],
  );
  const vectors = front.points.map((trial) => [
    -(trial.finalScore?.accuracy ?? 0),
    trial.measurement?.decode.p50Ms ?? 0,
  ]);
  t.notOk(
    vectors.some((a) => vectors.some((b) => dominates(a, b))),
    'no point is worse than another',
  );
  t.ok(front.points.length <= 4 + 4);
  for (const trial of [...front.points, ...front.baselines]) t.equal(trial.finalScore?.rows, 500);
  const max = front.baselines[0];
  const chosen = front.points.find(({ id }) => id === front.chosenTrialId);
  t.ok((chosen?.finalScore?.accuracy ?? 0) >= (max?.finalScore?.accuracy ?? 100) - 1);
  t.ok((chosen?.measurement?.decode.p50Ms ?? 99) < (max?.measurement?.decode.p50Ms ?? 0));
  t.match(
    front.chosenReason,
    /^lowest decodeMs \(.* ms\) of the .* that meets? accuracy >= .* % \(max-1.0\)$/,
  );
});

t.test(
  'on the cheap rows a shape is scored once, whatever its form; on held-out rows each package',
  async (t) => {
    const world = new World([board()]);
    const { campaign } = world.open();
    await campaign.start(searchStart());
    await world.settled();
    const cheap = world.scored.filter((text) => text.endsWith(' 0+1000 slices'));
    const final = world.scored.filter((text) => text.endsWith(' 1000+500 package'));
    t.equal(cheap.length + final.length, world.scored.length);
    const shapes = cheap.map((text) => text.replace('g1:m', 'g1:u'));
    t.equal(new Set(shapes).size, shapes.length);
    t.equal(new Set(final).size, final.length);
    const trials = await campaign.trials('search');
    t.same(trials[0]?.score, trials[1]?.score, 'max and max merged');
    for (const { genome } of trials.slice(0, 2))
      t.ok(final.includes(`${genome} 1000+500 package`), 'both are packaged and scored');
  },
);

t.test('score: accuracy in percent with its interval, loss a target token', async (t) => {
  const world = new World([board()]);
  world.answer = () => 800;
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 1, scoreRows: 10, finalRows: 0 }));
  await world.settled();
  const [trial] = await campaign.trials('search');
  t.match(trial?.score, { rows: 10, correct: 8, accuracy: 80 });
  t.ok(Math.abs((trial?.score?.accuracyLow ?? 0) - 49.0162) < 1e-3);
  t.ok(Math.abs((trial?.score?.accuracyHigh ?? 0) - 94.3318) < 1e-3);
  // 8 rows of 0.1 and 2 of 2 nats, 2 targets each
  t.ok(Math.abs((trial?.score?.loss ?? 0) - 4.8 / 20) < 1e-12);
});

t.test('without final rows the front is reported by the cheap score', async (t) => {
  const world = new World([board()]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ finalRows: 0 }));
  await world.settled();
  const front = await campaign.front('search');
  t.equal(front.state, 'finished');
  t.ok(front.points.every(({ finalScore, score }) => finalScore === null && score !== null));
  t.ok(front.points.some(({ id }) => id === front.chosenTrialId));
});

t.test('held-out rows decide: a point that was lucky on the cheap rows is not chosen', async (t) => {
  const world = new World([board()]);
  // On held-out rows everything but the full network loses 5 points.
  const full = (genome: Genome): boolean =>
    genome.layers.every(({ ranks, width }) => ranks.qkv === 32 && width === 768);
  world.answer = (genome, skip) => correctRows(genome) - (skip > 0 && !full(genome) ? 50 : 0);
  const { campaign } = world.open();
  await campaign.start(searchStart());
  await world.settled();
  const front = await campaign.front('search');
  const chosen = front.baselines.find(({ id }) => id === front.chosenTrialId);
  t.equal(chosen?.label, 'maxMerged', 'of the two full networks the cheaper');
});

t.test(
  'infeasible candidates are told, counted and never repeated; the full network still has a score',
  async (t) => {
    const tooLarge = (genome: Genome): boolean =>
      costOf(genome, SHAPE).baseParameters >
      0.8 *
        costOf({ ...genome, layers: genome.layers.map((layer) => ({ ...layer, width: 768 })) }, SHAPE)
          .baseParameters;
    const world = new World([
      board({
        measure: (genome) =>
          tooLarge(genome) ? { outcome: 'infeasible', reason: 'killed: out of memory' } : costByMacs(genome),
      }),
    ]);
    const { campaign } = world.open();
    await campaign.start(searchStart({ require: ['accuracy>=max-30'] }));
    await world.settled();
    const trials = await campaign.trials('search');
    const infeasible = trials.filter(({ state }) => state === 'infeasible');
    t.ok(infeasible.length >= 2);
    t.match(infeasible[0], {
      label: 'max',
      reason: 'killed: out of memory',
      measurement: null,
      score: { rows: 1000 },
    });
    t.equal(new Set(world.jobs.map(({ genome }) => genome)).size, 20, 'each candidate once');
    t.equal((await campaign.show('search')).infeasibleTrials, infeasible.length);
    const front = await campaign.front('search');
    t.notOk(front.points.some(({ state }) => state !== 'finished'));
    t.match(front.chosenReason, /max-30/);
    t.ok(front.chosenTrialId);
  },
);

t.test('a device that can run nothing: the search fails and says why', async (t) => {
  const world = new World([
    board({ measure: () => ({ outcome: 'infeasible', reason: 'killed by SIGILL' }) }),
  ]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 5 }));
  await world.settled();
  t.match(await campaign.show('search'), {
    state: 'failed',
    reason: /not one candidate could be measured.*SIGILL/,
  });
  t.match(await campaign.front('search'), { points: [], chosenTrialId: null });
});

for (const [failures, state, jobs] of [
  [2, 'finished', 3],
  [3, 'failed', 3],
] as const) {
  t.test(`a job that fails ${failures} times: the trial ends as ${state} after ${jobs} jobs`, async (t) => {
    const failing = (genome: Genome, attempt: number) =>
      genome.layers[0]?.width === 384 && attempt <= failures
        ? ({ outcome: 'failed', reason: 'disk full' } as const)
        : costByMacs(genome);
    const world = new World([board({ measure: failing })]);
    const { campaign } = world.open();
    await campaign.start(searchStart({ trials: 4 }));
    await world.settled();
    const min = (await campaign.trials('search')).find(({ label }) => label === 'min');
    t.equal(min?.state, state);
    t.equal(world.jobs.filter(({ trialId }) => trialId === min?.id).length, jobs);
    if (state === 'failed') t.match(min?.reason, /3 attempts ended with failed: disk full/);
  });
}

t.test('a failed job is tried on another device of the class', async (t) => {
  const world = new World([
    board({ measure: () => ({ outcome: 'failed', reason: 'worn out' }) }),
    board({ id: 'dev_0000000002' }),
  ]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 6 }));
  await world.settled();
  const trials = await campaign.trials('search');
  t.ok(trials.every(({ state }) => state === 'finished'));
  t.ok(trials.every(({ deviceId }) => deviceId === 'dev_0000000002'));
});

t.test('three devices share a search and none gets two jobs at once', async (t) => {
  const world = new World(['1', '2', '3'].map((digit) => board({ id: `dev_000000000${digit}` })));
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 30 }));
  await world.settled();
  t.equal(new Set(world.jobs.map(({ deviceId }) => deviceId)).size, 3);
  t.same(world.collisions, []);
  t.equal(new Set(world.jobs.map(({ genome }) => genome)).size, 30);
});

t.test('on one host measuring and scoring take turns, and two agents of it too', async (t) => {
  const here = { bootId: 'host' };
  const world = new World([
    board(here),
    board({ ...here, id: 'dev_0000000002' }),
    board({ id: 'dev_0000000003' }),
  ]);
  world.parallel = 2;
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 30 }));
  await world.settled();
  t.same(world.collisions, []);
  const byDevice = ['1', '2', '3'].map(
    (digit) => world.jobs.filter(({ deviceId }) => deviceId.endsWith(digit)).length,
  );
  t.ok(
    byDevice.every((count) => count > 0),
    `jobs a device: ${byDevice}`,
  );
});

t.test('devices with opposite cost orders: their classes get different chosen points', async (t) => {
  /** Wide FFNs are slow and adapters free, or the other way round. */
  const slowFfn = (genome: Genome) => {
    const ms = genome.layers.reduce((sum, { width }) => sum + width / 768, 0);
    return { outcome: 'measured', measurements: [measurement(ms, ms, genome)] } as const;
  };
  const slowAdapter = (genome: Genome) => {
    const ms =
      1 + genome.layers.reduce((sum, { ranks }) => sum + (genome.form === 'merged' ? 32 : ranks.qkv) / 32, 0);
    return { outcome: 'measured', measurements: [measurement(ms, ms, genome)] } as const;
  };
  const world = new World([
    board({ deviceClass: 'board', measure: slowFfn }),
    board({ id: 'dev_0000000002', deviceClass: 'phone', measure: slowAdapter }),
  ]);
  const { campaign } = world.open();
  const spec = searchStart({ trials: 60, require: ['accuracy>=max-3.0'] });
  await campaign.start({ ...spec, name: 'for boards' });
  await campaign.start({ ...spec, name: 'for phones', deviceClass: 'phone' });
  await world.settled();
  const chosen = async (name: string): Promise<Genome> => {
    const front = await campaign.front(name);
    return decodeGenome(front.points.find(({ id }) => id === front.chosenTrialId)?.genome ?? '');
  };
  const ranks = (genome: Genome): number => genome.layers.reduce((sum, layer) => sum + layer.ranks.qkv, 0);
  const widths = (genome: Genome): number => genome.layers.reduce((sum, layer) => sum + layer.width, 0);
  const forBoards = await chosen('for boards');
  const forPhones = await chosen('for phones');
  t.ok(widths(forBoards) < widths(forPhones), 'narrower where width is slow');
  t.ok(ranks(forBoards) > ranks(forPhones), 'of lower rank where adapters are slow');
});

t.test('a device that leaves and comes back', async (t) => {
  const device = board();
  const world = new World([device]);
  const { campaign } = world.open();
  device.online = false;
  await campaign.start(searchStart({ trials: 5 }));
  await world.settled(() => world.scored.length > 0 || world.trials.length === 0);
  t.equal(world.jobs.length, 0);
  device.online = true;
  world.devicesChanged();
  await world.settled();
  t.equal((await campaign.show('search')).state, 'finished');
});

t.test('stop: jobs are canceled, pending trials end, the front so far stays', async (t) => {
  const world = new World([board()]);
  const { campaign } = world.open();
  await campaign.start(searchStart());
  await world.settled(() => world.trials.filter(({ state }) => state === 'finished').length >= 6);
  const stopped = await campaign.stop('search');
  t.match(stopped, { state: 'stopped', reason: 'stopped on request', pendingTrials: 0 });
  t.equal(world.measuringJobs().length, 0);
  const front = await campaign.front('search');
  t.ok(front.points.length > 0 && front.chosenTrialId);
  await t.rejects(campaign.stop('search'), {
    code: 'STATE_CONFLICT',
    message: /is stopped, wanted a running one/,
  });
  const jobs = world.jobs.length;
  world.devicesChanged();
  await campaign.close();
  t.equal(world.jobs.length, jobs);
});

t.test(
  'scoring that fails for good ends the search with the reason; what may pass is tried again',
  async (t) => {
    const { CodedError } = await import('@fleetlora/shared/errors');
    const failingTimes = (times: number, error: Error) => {
      const world = new World([board()]);
      let left = times;
      world.beforeScore = async () => {
        if (left-- > 0) throw error;
      };
      return world;
    };
    const crash = new CodedError('CHILD_FAILED', 'the evaluation thread ended');
    for (const [times, error, state] of [
      [2, crash, 'finished'],
      [3, crash, 'failed'],
      [1, new CodedError('DATA_LINE', 'row 7 is broken'), 'failed'],
    ] as const) {
      const world = failingTimes(times, error);
      const { campaign } = world.open();
      await campaign.start(searchStart({ trials: 4 }));
      await world.settled();
      t.match(
        await campaign.show('search'),
        { state, reason: state === 'failed' ? error.message : null },
        `${times} x ${error.code}`,
      );
      await campaign.close();
    }
  },
);

t.test('start refuses what does not fit', async (t) => {
  const world = new World([]);
  const { campaign } = world.open();
  const space = searchStart().space ?? undefined;
  t.equal(space, undefined);
  const { adapter } = await import('../lib/campaign-parts.js');
  const plan = defaultMeasurePlan;
  for (const [change, error] of [
    [{ adapter: 'other' }, { code: 'NOT_FOUND', message: /other/ }],
    [{ dataset: 'other' }, { code: 'NOT_FOUND', message: /other/ }],
    [{ require: ['speed>=1'] }, { code: 'BAD_REQUEST', message: /speed/ }],
    [{ scoreRows: 1501 }, { code: 'BAD_REQUEST', message: /has 2000 rows, 1501 to score and 500 held out/ }],
    [{ costs: ['decodeMs', 'decodeMs'] }, { code: 'BAD_REQUEST', message: /each at most once/ }],
    [
      { space: { ...adapter.space, rankMax: 64 } },
      { code: 'SPACE_INVALID', message: /rankMax is 64.*trained with 32/ },
    ],
    [
      { space: { ...adapter.space, alpha: 32 } },
      { code: 'SPACE_INVALID', message: /alpha is 32.*trained with 64/ },
    ],
    [{ space: { ...adapter.space, widthPercents: [99] } }, { code: 'SPACE_INVALID', message: /99 % of 768/ }],
    // 9 sets of five sessions of 204 + 144 each.
    [
      { batch: 8, plan: { ...plan, prefillRepeats: 1024, decodeRepeats: 716 } },
      {
        code: 'BAD_REQUEST',
        message: /^the result of a batch of 8 would hold 15660 samples, at most 15639 fit/,
      },
    ],
    // An hour less a quarter, for one.
    [
      { batch: 1, plan: { ...plan, sustainedSeconds: 2701 } },
      { code: 'BAD_REQUEST', message: /^sustainedSeconds is 2701, at most 2700 of each .* of a candidate$/ },
    ],
    // An hour less 26.25 minutes, for four.
    [
      { batch: 4, plan: { ...plan, sustainedSeconds: 507 } },
      { code: 'BAD_REQUEST', message: /^sustainedSeconds is 507, at most 506 of each .* of a batch of 4$/ },
    ],
  ] as const)
    await t.rejects(campaign.start(searchStart(change as object)), error);
  t.equal(world.searches.length, 0);
  await campaign.start(searchStart({ scoreRows: 1500 }));
  const many = { ...plan, prefillRepeats: 1024, decodeRepeats: 715 };
  await campaign.start(searchStart({ name: 'samples just fit', batch: 8, plan: many }));
  for (const [batch, sustainedSeconds] of [
    [1, 2700],
    [4, 506],
  ] as const)
    await campaign.start(
      searchStart({ name: `time just fits ${batch}`, batch, plan: { ...plan, sustainedSeconds } }),
    );
  await t.rejects(campaign.start(searchStart()), { code: 'ALREADY_EXISTS' });
  await t.rejects(campaign.show('nothing'), { code: 'NOT_FOUND' });
});
