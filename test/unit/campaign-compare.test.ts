import { compareTrials, type MeasuredTrial, type StoredTrial } from '@fleetlora/coordinator/campaign';
import { defaultMeasurePlan, type Measurement } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { decodeGenome } from '@fleetlora/shared/space';
import { sessionDifference, summarizeTiming } from '@fleetlora/shared/statistics';
import t from 'tap';
import { costByMacs, digestOf, measurement, searchStart, World } from '../lib/campaign-parts.js';
import { coded } from '../lib/coded.js';

const genome = `g1:u:${Array(8).fill('4.4.4.4.384').join('/')}`;
const random = createRandom(7);
/** Five sessions of six samples near `ms`; each session is off by its own share of `biases` in percent. */
const sessionsAt = (ms: number, biases: readonly number[] = [0, 0, 0, 0, 0]): number[][] =>
  biases.map((bias) => Array.from({ length: 6 }, () => ms * (1 + bias / 100 + 0.002 * random.next())));

/** A trial whose sessions had these samples in ms. */
function trialOf(
  number: number,
  times: { readonly decode: number[][]; readonly prefill: number[][]; readonly offsetMs?: number },
  change: Partial<Measurement> = {},
  stored: Partial<StoredTrial> = {},
): MeasuredTrial {
  const trial: StoredTrial & { readonly measurement: Measurement } = {
    id: `trl_${number}`,
    searchId: 'srch_1',
    number,
    label: null,
    genome,
    genomeDigest: digestOf('a'),
    state: 'finished',
    deviceId: 'dev_1',
    score: null,
    finalScore: null,
    correction: null,
    reason: null,
    askedSequence: number,
    toldSequence: null,
    createdAtMs: 0,
    ...stored,
    measurement: {
      ...measurement(1, 1, decodeGenome(genome)),
      plan: defaultMeasurePlan,
      decode: summarizeTiming(times.decode, times.offsetMs),
      prefill: summarizeTiming(times.prefill, times.offsetMs),
      ...change,
    },
  };
  return { name: `search:${number}`, trial, searchName: 'search', deviceClass: 'board', baseId: 'base_1' };
}
const plain = (ms: number, biases?: readonly number[]) => ({
  decode: sessionsAt(ms, biases),
  prefill: sessionsAt(10 * ms, biases),
});
const near = (found: number, wanted: number, within: number): boolean => Math.abs(found - wanted) <= within;

t.test("trials of two jobs: by the medians of their sessions, with Welch's interval", async (t) => {
  const medians = { a: [10, 10.2, 9.8, 10.1, 9.9], b: [10.5, 10.9, 10.7, 10.6, 10.8] };
  const timesOf = (values: readonly number[]) => ({
    decode: values.map((ms) => [ms]),
    prefill: values.map((ms) => [ms]),
  });
  const { paired, decode, notices } = compareTrials(
    trialOf(1, timesOf(medians.a)),
    trialOf(2, timesOf(medians.b)),
  );
  t.equal(paired, false);
  t.same(notices, []);
  // Means 10 and 10.7, each of variance 0.025: standard error 0.1, 8 degrees of freedom, t = 2.306.
  t.ok(near(decode.percent, 7, 1e-9), `${decode.percent}`);
  t.ok(near(decode.low, 7 - 2.306, 1e-3), `${decode.low}`);
  t.ok(near(decode.high, 7 + 2.306, 1e-3), `${decode.high}`);
});

t.test('sessions that differ by 8 %: a difference of 3 % is not established', async (t) => {
  const { decode } = compareTrials(
    trialOf(1, plain(10, [-4, 4, 0, 2, -2])),
    trialOf(2, plain(10.3, [4, -4, 2, -2, 0])),
  );
  t.ok(decode.low < 0 && decode.high > 0, JSON.stringify(decode));
  t.ok(near(decode.percent, 3, 0.5));
});

/** A batch of three in which candidate i takes so many percent more than the first; sessions are biased alike. */
function batchOf(percents: readonly [number, number], keepSamples = true): MeasuredTrial[] {
  const biases = [-4, 4, 0, 3, -3];
  const shared = [0, ...percents].map((percent) => plain(8 * (1 + percent / 100), biases));
  const flat = (place: number, quantity: 'decode' | 'prefill'): number[] =>
    shared[place]?.[quantity].flat() ?? [];
  const difference = (place: number) => ({
    decode: sessionDifference(shared[place]?.decode ?? [], shared[0]?.decode ?? []),
    prefill: sessionDifference(shared[place]?.prefill ?? [], shared[0]?.prefill ?? []),
  });
  return shared.map((times, position) => {
    const own = position === 0 ? plain(10, biases) : times;
    const batch: Measurement['batch'] = {
      size: 3,
      position,
      seed: 42,
      duplicate: difference(0),
      difference: difference(position),
      ...(position === 0 &&
        keepSamples && { sharedSamplesMs: { decode: flat(0, 'decode'), prefill: flat(0, 'prefill') } }),
    };
    const made = trialOf(position + 1, { ...own, offsetMs: position === 0 ? 0 : 2 }, { batch });
    if (keepSamples) return made;
    const { decode, prefill } = made.trial.measurement;
    const emptied = { decode: { ...decode, samplesMs: [] }, prefill: { ...prefill, samplesMs: [] } };
    return { ...made, trial: { ...made.trial, measurement: { ...made.trial.measurement, ...emptied } } };
  });
}

for (const [from, to, wanted] of [
  [0, 1, 2],
  [1, 0, -1.96],
  [1, 2, 2.94],
] as const)
  t.test(
    `candidates ${from} and ${to} of a batch: ${wanted} %, in spite of sessions that differ by 8 %`,
    async (t) => {
      const batch = batchOf([2, 5]);
      const { paired, decode, prefill } = compareTrials(
        batch[from] as MeasuredTrial,
        batch[to] as MeasuredTrial,
      );
      t.equal(paired, true);
      for (const { percent, low, high } of [decode, prefill]) {
        t.ok(near(percent, wanted, 0.15), `${percent}`);
        t.ok(low < percent && percent < high && high - low < 0.4, `${low} to ${high}`);
      }
    },
  );

t.test('raw samples were dropped: the first of a batch still compares by what was told then', async (t) => {
  const kept = batchOf([2, 5]);
  const [first, second, third] = batchOf([2, 5], false) as [MeasuredTrial, MeasuredTrial, MeasuredTrial];
  const forth = compareTrials(first, second);
  t.match(forth, { paired: true, decode: second.trial.measurement.batch?.difference.decode });
  const back = compareTrials(second, first);
  t.equal(back.paired, true);
  const exact = compareTrials(kept[1] as MeasuredTrial, kept[0] as MeasuredTrial).decode;
  for (const key of ['percent', 'low', 'high'] as const)
    t.ok(near(back.decode[key], exact[key], 0.1), `${key} ${back.decode[key]}, by samples ${exact[key]}`);
  t.equal(compareTrials(second, third).paired, false, 'of the others only the sessions are left');
});

t.test('two batches that look alike are not one', async (t) => {
  const [a] = batchOf([2, 5]);
  const [, b] = batchOf([2, 5]);
  const other = { ...(b as MeasuredTrial).trial, deviceId: 'dev_1', searchId: 'srch_1' };
  const batch = { ...(other.measurement.batch as NonNullable<Measurement['batch']>), seed: 43 };
  const moved = {
    ...(b as MeasuredTrial),
    trial: { ...other, measurement: { ...other.measurement, batch } },
  };
  t.equal(compareTrials(a as MeasuredTrial, moved).paired, false);
});

t.test('memory and bytes: exact', async (t) => {
  const { peakBytesPercent, shippedBytesPercent } = compareTrials(
    trialOf(1, plain(10), { peakBytes: 200e6, shippedBytes: 1000 }),
    trialOf(2, plain(10), { peakBytes: 150e6, shippedBytes: 1500 }),
  );
  t.same([peakBytesPercent, shippedBytesPercent], [-25, 50]);
});

const plan = defaultMeasurePlan;
for (const [name, change, stored, place, named] of [
  ['threads', { plan: { ...plan, threads: 4 } }, {}, {}, 'threads 1 and 4'],
  ['prompt', { plan: { ...plan, promptTokens: 64 } }, {}, {}, 'promptTokens 128 and 64'],
  ['cache', { plan: { ...plan, kvTokens: 64 } }, {}, {}, 'kvTokens 256 and 64'],
  ['prefill repeats', { plan: { ...plan, prefillRepeats: 3 } }, {}, {}, 'prefillRepeats 50 and 3'],
  ['decode repeats', { plan: { ...plan, decodeRepeats: 3 } }, {}, {}, 'decodeRepeats 325 and 3'],
  ['sessions', { plan: { ...plan, sessions: 3 } }, {}, {}, 'sessions 5 and 3'],
  ['continuous run', { plan: { ...plan, sustainedSeconds: 9 } }, {}, {}, 'sustainedSeconds 0 and 9'],
  ['provider', { provider: 'gpu' }, {}, {}, 'provider cpu and gpu'],
  ['runtime', { runtime: 'other 2.0' }, {}, {}, 'runtime fake and other 2.0'],
  ['memory method', { memoryMethod: 'polledRss' }, {}, {}, 'memory method vmhwm and polledRss'],
  ['emulation', { flags: ['emulated'] }, {}, {}, 'processor real and emulated'],
  ['base model', {}, {}, { baseId: 'base_2' }, 'base model base_1 and base_2'],
  ['device class', {}, {}, { deviceClass: 'phone' }, 'device class board and phone'],
  ['device', {}, { deviceId: 'dev_2' }, {}, 'device dev_1 and dev_2'],
] as const)
  t.test(`another ${name}: refused, naming both`, async (t) => {
    const a = trialOf(1, plain(10));
    const b = { ...trialOf(2, plain(10), change as Partial<Measurement>, stored), ...place };
    t.throws(() => compareTrials(a, b), {
      code: 'NOT_COMPARABLE',
      message: `trials search:1 and search:2 were not measured in the same way: ${named}`,
    });
  });

t.test('everything that differs is named at once; absent fields mean what they mean', async (t) => {
  const { sessions, provider, ...old } = plan;
  const a = trialOf(1, plain(10), { plan: { ...old, sessions: 2 } });
  t.doesNotThrow(() => compareTrials(a, trialOf(2, plain(10), { plan: old, memoryMethod: 'vmhwm' })));
  const b = {
    ...trialOf(2, plain(10), { plan: { ...plan, threads: 2 }, runtime: 'b' }),
    deviceClass: 'phone',
  };
  t.throws(
    () => compareTrials(a, b),
    coded(
      'NOT_COMPARABLE',
      'device class board and phone',
      'runtime fake and b',
      'threads 1 and 2',
      'sessions 2 and 5',
    ),
  );
});

t.test('two devices compare through the sentinel of their search, and only there', async (t) => {
  const corrected = (number: number, deviceId: string, ms: number, factor: number, searchId = 'srch_1') =>
    trialOf(
      number,
      plain(ms),
      {},
      {
        deviceId,
        searchId,
        correction: { decode: factor, prefill: factor, sentinelJobId: 'job_1' },
      },
    );
  const { paired, decode, notices } = compareTrials(
    corrected(1, 'dev_1', 10, 1),
    corrected(2, 'dev_2', 21, 2),
  );
  t.equal(paired, false);
  t.ok(near(decode.percent, 5, 0.1), `${decode.percent}`);
  t.match(notices, [/measured on the devices dev_1 and dev_2: times are compared as the search's sentinel/]);
  t.throws(
    () => compareTrials(corrected(1, 'dev_1', 10, 1), corrected(2, 'dev_2', 21, 2, 'srch_2')),
    coded('NOT_COMPARABLE', 'device dev_1 and dev_2'),
  );
  const across = compareTrials(corrected(1, 'dev_1', 10, 1), corrected(2, 'dev_1', 10.5, 2, 'srch_2'));
  t.ok(near(across.decode.percent, 5, 0.1), 'one device, two searches: as measured');
  t.match(across.notices, [/^they are of the searches "search" and "search"/]);
});

t.test(
  'one session, or sessions that were not told apart: nothing says how far sessions differ',
  async (t) => {
    const many = trialOf(1, plain(10));
    t.throws(
      () => compareTrials(many, trialOf(2, { decode: [[10, 10.1]], prefill: [[10]] })),
      coded('NOT_COMPARABLE', 'trial search:2 has decode times of one session, wanted at least 2'),
    );
    const { decode } = many.trial.measurement;
    const old = trialOf(3, plain(10), { decode: { ...decode, sessionMediansMs: undefined } });
    t.throws(
      () => compareTrials(old, many),
      coded('NOT_COMPARABLE', 'trial search:3 has decode times of sessions that were not told apart'),
    );
  },
);

t.test('flags of either are told', async (t) => {
  const { notices } = compareTrials(
    trialOf(1, plain(10), { flags: ['busy'] }),
    trialOf(2, plain(10), { flags: ['onBattery'] }),
  );
  t.match(notices, [/^search:1 is flagged busy: /, /^search:2 is flagged onBattery: /]);
});

t.test('trials are named SEARCH:TRIAL by id, name, label or number', async (t) => {
  const device = { id: 'dev_0000000001', deviceClass: 'board', measure: costByMacs };
  const world = new World([
    {
      ...device,
      measure(candidate) {
        if (candidate.form === 'merged') return { outcome: 'infeasible', reason: 'killed' };
        const one = measurement(1, 1, candidate);
        const decode = summarizeTiming(sessionsAt(1));
        return { outcome: 'measured', measurements: [{ ...one, decode, prefill: decode }] };
      },
    },
  ]);
  const { campaign } = world.open();
  await campaign.start(searchStart({ trials: 4, finalRows: 0 }));
  await world.settled();
  const [max, , middle] = await campaign.trials('search');
  for (const [a, b] of [
    ['search:1', 'search:3'],
    ['search:#1', 'search:middle'],
    [`${world.searches[0]?.id}:max`, `search:${middle?.id}`],
  ] as const) {
    const found = await campaign.compare(a, b);
    t.match(found, { a: { id: max?.id }, b: { id: middle?.id }, paired: false });
    t.notOk('searchId' in found.a, 'as the API shows a trial');
  }
  for (const [a, b, error] of [
    ['search', 'search:1', coded('BAD_REQUEST', '"search" names no trial', 'SEARCH:TRIAL')],
    ['search:1:2', 'search:1', coded('BAD_REQUEST', '"search:1:2"')],
    ['search:1', 'search:max', coded('BAD_REQUEST', 'search:1 was given twice')],
    ['other:1', 'search:1', coded('NOT_FOUND', '"other"')],
    ['search:1', 'search:9', coded('NOT_FOUND', '"9"')],
    ['search:1', 'search:2', coded('STATE_CONFLICT', 'search:2 is infeasible, wanted one that was measured')],
  ] as const)
    await t.rejects(campaign.compare(a, b), error);
});
