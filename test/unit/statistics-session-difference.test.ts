import { createRandom } from '@fleetlora/shared/random';
import { percentDifference, sessionDifference, splitSessions } from '@fleetlora/shared/statistics';
import t from 'tap';

t.test('difference over 4 sessions: mean of their median ratios in logarithms, t interval', async (t) => {
  // ln 1.01, 1.02, 1.03 and 1.02: mean 0.0197785, standard deviation 0.0080052, error 0.0040026,
  // t of 3 degrees 3.18245: e^mean - 1 = 1.998 %, from 0.707 to 3.305 %.
  const reference = [200, 100, 400, 2].map((ms) => [ms, 3 * ms, ms / 2]);
  const samples = [1.01, 1.02, 1.03, 1.02].map((ratio, session) =>
    (reference[session] ?? []).map((ms, pair) => ms * (pair === 1 ? 50 : ratio)),
  );
  const { percent, low, high } = sessionDifference(samples, reference);
  t.ok(Math.abs(percent - 1.998) < 2e-3, `${percent}`);
  t.ok(Math.abs(low - 0.7065) < 5e-3 && Math.abs(high - 3.3051) < 5e-3, `${low} ${high}`);
  const wider = sessionDifference(samples, reference, 0.99);
  t.ok(wider.low < low && wider.high > high);
  const back = sessionDifference(reference, samples);
  t.ok(back.percent < 0 && back.high < 0);
});

t.test('where a sample is 0 all pairs count as one sample of differences', async (t) => {
  const [samples, reference] = [
    [
      [1, 2],
      [2, 3],
      [0, 1],
    ],
    [
      [1, 1],
      [1, 2],
      [1, 1],
    ],
  ];
  t.same(sessionDifference(samples, reference), percentDifference(samples.flat(), reference.flat()));
  t.same(sessionDifference(reference, samples), percentDifference(reference.flat(), samples.flat()));
});

t.test('below 3 sessions all pairs count as one sample', async (t) => {
  const samples = [
    [4, 5, 6.5],
    [5, 7, 4.25],
  ];
  const reference = [
    [3, 5, 6],
    [5, 6, 4],
  ];
  t.same(sessionDifference(samples, reference), percentDifference(samples.flat(), reference.flat()));
  const [first = []] = samples;
  t.same(sessionDifference([first], [reference[0] ?? []]), percentDifference(first, reference[0] ?? []));
});

t.test('sessions that do not fit each other are refused', async (t) => {
  t.throws(() => sessionDifference([[1]], [[1], [2]]), new RangeError('1 sessions are paired with 2'));
  t.throws(() => sessionDifference([[1], [2], [3, 4]], [[1], [2], [3]]), RangeError);
  t.throws(() => sessionDifference([], []), RangeError);
  t.throws(() => sessionDifference([[], [], []], [[], [], []]), RangeError);
});

t.test('samples are split where their sessions ended', async (t) => {
  t.same(splitSessions([1, 2, 3, 4, 5, 6], [2, 1, 3]), [[1, 2], [3], [4, 5, 6]]);
  t.same(splitSessions([], []), []);
  t.throws(
    () => splitSessions([1, 2, 3], [2, 2]),
    new RangeError('3 samples are split into sessions of 2, 2'),
  );
});

t.test(
  'equal candidates whose memory differs by session: 3 to 7 % of 1,000 are told apart, of one sample of all pairs 20 % and more',
  async (t) => {
    // 5 sessions of 13 pairs; noise of 0.5 % a step, 0.5 % by where the factors lie.
    const random = createRandom(17);
    let told = 0;
    let pooled = 0;
    for (let trial = 0; trial < 1000; trial++) {
      const sessions = (biased: number): number[][] =>
        Array.from({ length: 5 }, () => {
          const bias = biased * random.normal();
          return Array.from({ length: 13 }, () => 100 + bias + 0.5 * random.normal());
        });
      const [reference, samples] = [sessions(0), sessions(0.5)];
      const one = sessionDifference(samples, reference);
      const all = percentDifference(samples.flat(), reference.flat());
      if (one.low > 0 || one.high < 0) told++;
      if (all.low > 0 || all.high < 0) pooled++;
    }
    // 50 ± 3 standard deviations of 6.9.
    t.ok(told >= 30 && told <= 70, `${told}`);
    t.ok(pooled >= 200, `${pooled}`);
  },
);
