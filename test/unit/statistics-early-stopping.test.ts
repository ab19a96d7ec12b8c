import { quantileUpperBound, samplesNeeded } from '@fleetlora/shared/statistics';
import t from 'tap';

const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1);

t.test('samples needed at 99 % confidence: 11, 64 and 662 for p50, p90 and p99', async (t) => {
  t.equal(samplesNeeded(0.5), 11);
  t.equal(samplesNeeded(0.9), 64);
  t.equal(samplesNeeded(0.99), 662);
});

t.test('upper bound of p50: unknown from 10 samples, the second largest of 11', async (t) => {
  t.equal(quantileUpperBound(upTo(10), 0.5), null);
  t.equal(quantileUpperBound(upTo(11), 0.5), 10);
});

t.test('upper bound of p90: unknown from 63 samples, the second largest of 64', async (t) => {
  t.equal(quantileUpperBound(upTo(63), 0.9), null);
  t.equal(quantileUpperBound(upTo(64), 0.9), 63);
});

t.test('upper bound of p50 comes closer with more samples', async (t) => {
  // P(X <= 37 of 100) = 0.0060, P(X <= 38) = 0.0105: 37 samples may lie above.
  t.equal(quantileUpperBound(upTo(100), 0.5), 63);
});
