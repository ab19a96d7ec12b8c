import { mean, median, quantile, standardDeviation } from '@fleetlora/shared/statistics';
import t from 'tap';

t.test('quantile: nearest rank of 1..10', async (t) => {
  const samples = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
  t.equal(quantile(samples, 0.5), 5);
  t.equal(quantile(samples, 0.9), 9);
  t.equal(quantile(samples, 0.91), 10);
  t.equal(quantile(samples, 0.01), 1);
  t.equal(quantile(samples, 1), 10);
  t.same(samples, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 'the input is unchanged');
});

t.test('quantile: p is in (0, 1]', async (t) => {
  t.throws(() => quantile([1], 0), RangeError);
  t.throws(() => quantile([1], 1.0001), RangeError);
  t.throws(() => quantile([], 0.5), RangeError);
});

t.test('median: of 3 the middle, of 4 the mean of the two middle ones', async (t) => {
  t.equal(median([3, 1, 100]), 3);
  t.equal(median([4, 1, 2, 100]), 3);
  t.throws(() => median([]), RangeError);
});

t.test('standard deviation of 2, 4, 4, 4, 5, 5, 7, 9 is the root of 32/7', async (t) => {
  const values = [2, 4, 4, 4, 5, 5, 7, 9];
  t.equal(mean(values), 5);
  t.equal(standardDeviation(values), Math.sqrt(32 / 7));
  t.ok(Number.isNaN(standardDeviation([1])));
});
