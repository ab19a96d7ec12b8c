import {
  normalQuantile,
  pairedDifference,
  studentQuantile,
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
