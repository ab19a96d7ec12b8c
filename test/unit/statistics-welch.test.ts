import { welchDifference } from '@fleetlora/shared/statistics';
import t from 'tap';

const near = (found: number, wanted: number, within = 1e-3): boolean => Math.abs(found - wanted) <= within;

t.test('5 against 5 values of variance 2.5: 8 degrees of freedom', async (t) => {
  // Standard error sqrt(0.5 + 0.5) = 1, t(0.975, 8) = 2.306.
  const { mean, low, high } = welchDifference([11, 12, 13, 14, 15], [1, 2, 3, 4, 5]);
  t.equal(mean, 10);
  t.ok(near(low, 7.694) && near(high, 12.306), `${low} to ${high}`);
});

t.test('2 against 5 values: 2.12 degrees of freedom count as 2', async (t) => {
  // Variances of the means 1 and 0.5; 1.5² / (1²/1 + 0.5²/4) = 2.118; t(0.975, 2) = 4.303.
  const { mean, low, high } = welchDifference([9, 11], [1, 2, 3, 4, 5]);
  t.equal(mean, 7);
  t.ok(near(low, 7 - 5.2697) && near(high, 7 + 5.2697), `${low} to ${high}`);
});

t.test('2 against 2 values: as wide as one degree of freedom where one alone varies', async (t) => {
  // Variance of the mean 1 and 0: t(0.975, 1) = 12.706.
  const { low, high } = welchDifference([9, 11], [3, 3]);
  t.ok(near(low, 7 - 12.706, 2e-3) && near(high, 7 + 12.706, 2e-3), `${low} to ${high}`);
});

t.test('no spread at all, another confidence, the order of the two', async (t) => {
  t.same(welchDifference([5, 5], [2, 2, 2]), { mean: 3, low: 3, high: 3 });
  const [a, b] = [
    [11, 12, 13, 14, 15],
    [1, 2, 3, 4, 5],
  ] as const;
  // t(0.95, 8) = 1.860
  t.ok(near(welchDifference(a, b, 0.9).high, 11.86), 'narrower at 90 %');
  const turned = welchDifference(b, a);
  t.ok(near(turned.mean, -10, 1e-12) && near(turned.low, -12.306) && near(turned.high, -7.694));
});

t.test('a sample of one has no spread', async (t) => {
  t.throws(() => welchDifference([1], [1, 2]), /^a sample of 1 has no spread, at least 2/);
  t.throws(() => welchDifference([1, 2], []), /^a sample of 0 has no spread/);
});
