import { createRandom } from '@fleetlora/shared/random';
import {
  meanInterval,
  medianInterval,
  normalQuantile,
  pairedDifference,
  studentQuantile,
  trimmedMeanInterval,
  welchDifference,
  wilsonInterval,
} from '@fleetlora/shared/statistics';
import t from 'tap';

const near = (found: number, wanted: number, within: number): boolean => Math.abs(found - wanted) <= within;

t.test('normal quantile: tabled values', async (t) => {
  t.equal(normalQuantile(0.5), 0);
  t.ok(near(normalQuantile(0.975), 1.959963985, 1e-8));
  t.ok(near(normalQuantile(0.025), -1.959963985, 1e-8));
  t.ok(near(normalQuantile(0.01), -2.326347874, 1e-8));
  t.equal(normalQuantile(0), -Infinity);
  t.equal(normalQuantile(1), Infinity);
});

t.test('student quantile at p 0.975: tabled values', async (t) => {
  for (const [freedom, wanted, within] of [
    [1, 12.706, 0.001],
    [2, 4.303, 0.001],
    [3, 3.182, 0.02],
    [5, 2.571, 0.002],
    [10, 2.228, 0.001],
    [100, 1.984, 0.001],
  ] as const)
    t.ok(near(studentQuantile(0.975, freedom), wanted, within), `${freedom} degrees of freedom`);
});

t.test('wilson interval: 8 of 10, at the ends, and outside', async (t) => {
  // (0.8 + z²/20 ± z·sqrt(0.016 + z²/400)) / (1 + z²/10) with z² = 3.841459
  const { low, high } = wilsonInterval(8, 10);
  t.ok(near(low, 0.490162, 1e-5));
  t.ok(near(high, 0.943318, 1e-5));
  t.equal(wilsonInterval(0, 10).low, 0);
  t.equal(wilsonInterval(10, 10).high, 1);
  // z² / (10 + z²)
  t.ok(near(wilsonInterval(0, 10).high, 0.277533, 1e-5));
  t.throws(() => wilsonInterval(11, 10), RangeError);
  t.throws(() => wilsonInterval(-1, 10), RangeError);
  t.throws(() => wilsonInterval(0, 0), RangeError);
});

t.test('paired difference: a constant shift has no width, a mean of 2 over 1, 2, 3 has t·1/√3', async (t) => {
  t.same(pairedDifference([5, 105, 1005], [4, 104, 1004]), { mean: 1, low: 1, high: 1, pairs: 3 });
  const { mean, low, high } = pairedDifference([1, 2, 3], [0, 0, 0]);
  t.equal(mean, 2);
  t.ok(near(high - mean, 4.302653 / Math.sqrt(3), 1e-5));
  t.ok(near(mean - low, 4.302653 / Math.sqrt(3), 1e-5));
  t.throws(() => pairedDifference([1, 2], [1]), RangeError);
  t.throws(() => pairedDifference([1], [1]), RangeError);
});

t.test('mean interval: 3 ± t·√(2.5 / 5) of 1 to 5, none of a single value', async (t) => {
  const { mean, low, high } = meanInterval([1, 2, 3, 4, 5]);
  t.equal(mean, 3);
  // t(0.975, 4) = 2.776445; t(0.95, 4) = 2.131847.
  t.ok(near(low, 3 - 2.776445 * Math.sqrt(0.5), 1e-3) && near(high, 3 + 2.776445 * Math.sqrt(0.5), 1e-3));
  t.ok(near(meanInterval([1, 2, 3, 4, 5], 0.9).low, 3 - 2.131847 * Math.sqrt(0.5), 1e-3));
  t.throws(() => meanInterval([1]), new RangeError('a mean of 1 has no interval, at least 2 are needed'));
});

t.test('median interval at 95 %: tabled ranks of 6 to 100 samples, none of 5', async (t) => {
  const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => n - index);
  t.equal(medianInterval([]), null);
  t.equal(medianInterval(upTo(5)), null);
  for (const [n, low, high] of [
    // 2 / 64 is missed.
    [6, 1, 6],
    [8, 1, 8],
    // 2 · (1 + 9) / 512 is missed.
    [9, 2, 8],
    [10, 2, 9],
    [20, 6, 15],
    [50, 18, 33],
    [100, 40, 61],
  ] as const)
    t.same(medianInterval(upTo(n)), { low, high }, `${n} samples`);
  // 2 / 128 is missed at 7, more than 1 in 100; 2 / 256 at 8.
  t.equal(medianInterval(upTo(7), 0.99), null);
  t.same(medianInterval(upTo(8), 0.99), { low: 1, high: 8 });
  t.same(medianInterval([7, 7, 7, 7, 7, 7]), { low: 7, high: 7 });
});

t.test('welch difference: -2 ± t(8) of equal spreads, -10 ± t(1)·√(13 / 3) of unequal ones', async (t) => {
  // Both variances 2.5: standard error √(0.5 + 0.5), (0.5 + 0.5)² / (0.25 / 4 + 0.25 / 4) = 8 degrees.
  const equal = welchDifference([1, 2, 3, 4, 5], [3, 4, 5, 6, 7]);
  t.equal(equal.mean, -2);
  t.ok(near(equal.low, -2 - 2.306004, 1e-4) && near(equal.high, -2 + 2.306004, 1e-4));
  // Variances 1 and 8: (1 / 3 + 4)² / (1 / 18 + 16) = 1.17 degrees, rounded down.
  const unequal = welchDifference([1, 2, 3], [10, 14]);
  t.equal(unequal.mean, -10);
  t.ok(near(unequal.high, -10 + 12.706205 * Math.sqrt(13 / 3), 1e-4));
  t.same(welchDifference([4, 4], [1, 1]), { mean: 3, low: 3, high: 3 });
  for (const [a, b] of [
    [[1], [1, 2]],
    [[1, 2], [1]],
  ] as const)
    t.throws(
      () => welchDifference(a, b),
      new RangeError('a sample of 1 has no spread, at least 2 are needed'),
    );
});

t.test('trimmed mean of ten: without the two at each end, interval by hand', async (t) => {
  // Kept 3 ... 8; winsorized 3, 3, 3, 4, 5, 6, 7, 8, 8, 8: deviation 2.17307, error 1.14531, t of 5
  // degrees 2.57058.
  const { mean, low, high } = trimmedMeanInterval([100, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.equal(mean, 5.5);
  t.ok(near(high - mean, 2.94411, 2e-3) && near(mean - low, 2.94411, 2e-3), `${low} ${high}`);
  const wider = trimmedMeanInterval([100, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0.99);
  t.ok(wider.low < low && wider.high > high);
});

t.test('trimmed mean of fewer than five: the mean', async (t) => {
  t.same(trimmedMeanInterval([1, 2, 3, 40]), meanInterval([1, 2, 3, 40]));
  t.throws(
    () => trimmedMeanInterval([1]),
    new RangeError('a mean of 1 has no interval, at least 2 are needed'),
  );
});

t.test(
  'trimmed mean of 20 with long tails: its interval holds the centre, and is the narrower one',
  async (t) => {
    const random = createRandom(23);
    let held = 0;
    let narrower = 0;
    for (let trial = 0; trial < 2000; trial++) {
      // One value in ten is from a distribution ten times as wide.
      const values = Array.from({ length: 20 }, () => (random.next() < 0.1 ? 10 : 1) * random.normal());
      const trimmed = trimmedMeanInterval(values);
      const plain = meanInterval(values);
      if (trimmed.low <= 0 && trimmed.high >= 0) held++;
      if (trimmed.high - trimmed.low < plain.high - plain.low) narrower++;
    }
    // Of 95 % 1,900 are expected, with a standard deviation of 10; long tails make it err to the safe side.
    t.ok(held >= 1870 && held <= 1970, `${held}`);
    t.ok(narrower > 1400, `${narrower}`);
  },
);
