import { parseAs, Timing } from '@fleetlora/shared/protocol';
import { countOutliers, quantile, summarizeTiming } from '@fleetlora/shared/statistics';
import t from 'tap';

const near = (found: number | undefined, wanted: number, within: number): boolean =>
  Math.abs((found ?? Number.NaN) - wanted) <= within;
const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1);

t.test(
  'two sessions of three samples: percentiles of all, medians, spread and interval between them',
  async (t) => {
    const { lowMs, highMs, ...timing } = summarizeTiming([
      [3, 1, 2],
      [5, 3, 4],
    ]);
    t.same(timing, {
      // Ranks 3, 6 and 6 of 1, 2, 3, 3, 4, 5.
      p50Ms: 3,
      p90Ms: 5,
      p99Ms: 5,
      established: { p50: false, p90: false, p99: false },
      n: 6,
      samplesMs: [3, 1, 2, 5, 3, 4],
      sessionSizes: [3, 3],
      sessionMediansMs: [2, 4],
      // 2 of 3.
      spreadPercent: 66.667,
      outliers: 0,
      offsetMs: 0,
    });
    // Mean 3, standard error 1, t(0.975, 1) = 12.7062.
    t.ok(near(lowMs, 3 - 12.7062, 1e-4) && near(highMs, 3 + 12.7062, 1e-4));
  },
);

t.test('offset 0.5: every figure is moved, samples are not', async (t) => {
  const sessions = [
    [3, 1, 2],
    [5, 3, 4],
  ];
  const { lowMs, highMs, ...timing } = summarizeTiming(sessions, 0.5);
  t.match(timing, { p50Ms: 3.5, p90Ms: 5.5, p99Ms: 5.5, sessionMediansMs: [2.5, 4.5], offsetMs: 0.5 });
  t.same(timing.samplesMs, [3, 1, 2, 5, 3, 4]);
  // 2 of 3.5.
  t.equal(timing.spreadPercent, 57.143);
  t.ok(near(lowMs, 3.5 - 12.7062, 1e-4) && near(highMs, 3.5 + 12.7062, 1e-4));
});

t.test('offset below the samples: figures stay at 0, and a figure of 0 has no percents', async (t) => {
  const timing = summarizeTiming([[1, 2, 3], [2]], -10);
  t.match(timing, { p50Ms: 0, p90Ms: 0, sessionMediansMs: [0, 0], offsetMs: -10, highMs: 0 });
  t.notOk('spreadPercent' in timing);
  t.same(parseAs(Timing, timing, 'timing'), timing);
});

t.test('established: p50 from 11 samples on, p90 from 64, p99 from 662', async (t) => {
  for (const [n, p50, p90, p99] of [
    [10, false, false, false],
    [11, true, false, false],
    [63, true, false, false],
    [64, true, true, false],
    [661, true, true, false],
    [662, true, true, true],
  ] as const) {
    const timing = summarizeTiming([upTo(n - 1), [n]]);
    t.same(timing.established, { p50, p90, p99 }, `${n} samples`);
    t.equal(timing.n, n);
  }
});

t.test('samples are rounded to 0.1 µs, and the figures are those of the rounded ones', async (t) => {
  const timing = summarizeTiming([[1.23456, 2.34567, 3.45678]], 0.00004);
  t.same(timing.samplesMs, [1.2346, 2.3457, 3.4568]);
  t.equal(timing.p50Ms, quantile(timing.samplesMs, 0.5), 'an offset below 0.05 µs is none');
  t.equal(timing.offsetMs, 0);
  t.equal(summarizeTiming([[0.1, 0.2]], 0.2).sessionMediansMs?.[0], 0.35, 'no 0.35000000000000003');
});

t.test('one session: no interval, no spread', async (t) => {
  const timing = summarizeTiming([[1, 2, 3, 4]]);
  t.notOk('lowMs' in timing || 'highMs' in timing);
  t.equal(timing.spreadPercent, 0);
});

t.test('interval of five sessions: t(0.975, 4) = 2.776 standard errors', async (t) => {
  const { lowMs, highMs, p50Ms } = summarizeTiming([[8], [9], [10], [11], [12]]);
  t.equal(p50Ms, 10);
  // Standard deviation sqrt(2.5), standard error sqrt(0.5).
  t.ok(near(lowMs, 10 - 1.9632, 2e-3) && near(highMs, 10 + 1.9632, 2e-3));
});

t.test(
  'interval of 20 sessions at 1 ms and 12 at 2 ms: around 1.375, and down to the median of 1',
  async (t) => {
    const { lowMs, highMs, p50Ms } = summarizeTiming([...Array(20).fill([1]), ...Array(12).fill([2])]);
    t.equal(p50Ms, 1);
    t.equal(lowMs, 1);
    // Standard deviation sqrt(32 / 31 * 20 / 32 * 12 / 32) = 0.491869, t(0.975, 31) = 2.039513.
    t.ok(near(highMs, 1.375 + (2.039513 * 0.491869) / Math.sqrt(32), 1e-4));
  },
);

t.test('no sessions, and one without samples, are refused', async (t) => {
  t.throws(() => summarizeTiming([]), RangeError);
  t.throws(() => summarizeTiming([[1], []]), RangeError);
});

t.test('1,024 samples in 32 sessions fit into a message', async (t) => {
  const sessions = Array.from({ length: 32 }, (_, session) => upTo(32).map((x) => x + session / 3));
  const timing = summarizeTiming(sessions, -0.1234567);
  t.same(parseAs(Timing, timing, 'timing'), timing);
});

t.test('outliers: 5 scaled MADs from the median of 9 samples is 18.53', async (t) => {
  // Distances of the others 4, 3, 2, 1, 1, 2, 3; the middle one, 5, is left out: MAD 2.5.
  t.equal(countOutliers([[1, 2, 3, 4, 5, 6, 7, 8, 23.5]]), 0);
  t.equal(countOutliers([[1, 2, 3, 4, 5, 6, 7, 8, 23.6]]), 1);
  t.equal(countOutliers([[1, 2, 3, 4, 5, 6, 7, 8, -1000]]), 1, 'also below');
});

t.test('outliers of sessions of three: one scale for all, each with a median of its own', async (t) => {
  const calm = [
    [0, 1, 2],
    [100, 101, 102],
    [7, 9, 8],
    [3, 2, 1],
  ];
  // 8 distances of 1, one of 1 and the last: MAD 1, limit 7.413.
  t.equal(countOutliers([...calm, [0, 1, 8.4]]), 0);
  t.equal(countOutliers([...calm, [0, 1, 8.5]]), 1);
  t.equal(countOutliers([...calm, [10, 10.001, 10.1]]), 0, 'a session so even has no scale of its own');
});

t.test('outliers of a clock so coarse that most samples are equal: by the mean distance', async (t) => {
  // Mean distance 0.1, as a standard deviation 0.12533; 5 of them are 0.627.
  t.equal(countOutliers([[1, 1, 1, 1, 1, 1, 1, 1, 1, 2]]), 1);
  // 0.4, 0.50132, 2.507.
  t.equal(countOutliers([[1, 1, 1, 1, 1, 1, 2, 2, 2, 2]]), 0);
  t.equal(countOutliers([[1, 1, 1, 1]]), 0);
});

t.test('outliers of single samples, or none: 0', async (t) => {
  t.equal(countOutliers([[1], [50], [3]]), 0);
  t.equal(countOutliers([]), 0);
  t.equal(countOutliers([[], [1, 2]]), 0);
});
