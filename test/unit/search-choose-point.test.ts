import { choosePoint, type MetricValues, parseConstraint } from '@fleetlora/coordinator/search';
import t from 'tap';

const point = (id: string, accuracy: number, decodeMs: number, shippedBytes: number) => ({
  id,
  values: { accuracy, decodeMs, shippedBytes, loss: 1, prefillMs: 10, peakBytes: 1e6 } satisfies MetricValues,
});
const points = [
  point('max', 74, 4, 900),
  point('good', 73, 3, 700),
  point('cheap', 72, 2, 500),
  point('min', 60, 1, 100),
];
const choose = (require: string[], costs: ('decodeMs' | 'shippedBytes')[] = ['decodeMs'], among = points) =>
  choosePoint(among, {
    quality: 'accuracy',
    costs,
    constraints: require.map(parseConstraint),
    max: points[0]?.values ?? null,
  });

t.test('the cheapest point within one point of the full network', async (t) => {
  t.same(choose(['accuracy>=max-1.0']), {
    id: 'good',
    reason: 'lowest decodeMs (3.00 ms) of the 2 of 4 points that meet accuracy >= 73.0 % (max-1.0)',
  });
  t.equal(choose(['accuracy>=max-2']).id, 'cheap');
});

t.test('all constraints have to be met', async (t) => {
  t.equal(choose(['accuracy>=70', 'shippedBytes<=600B']).id, 'cheap');
  const none = choose(['accuracy>=74', 'shippedBytes<=600B']);
  t.equal(none.id, null);
  t.match(none.reason, /none of 4 points meets .* each limit alone is met by some/);
});

t.test('nothing meets: the reason names the nearest', async (t) => {
  t.match(choose(['accuracy>=80']), {
    id: null,
    reason: /none of 4 points meets .*the nearest has accuracy 74.0 %/,
  });
  t.match(choose(['decodeMs<=0.5']), { id: null, reason: /the nearest has decodeMs 1.00 ms/ });
});

t.test('no constraint: the best quality', async (t) => {
  t.match(choose([]), { id: 'max', reason: /best accuracy \(74.0 %\) of 4 points; no constraint was given/ });
});

t.test('ties: the other costs, then quality, then order', async (t) => {
  const tied = [
    point('a', 70, 2, 500),
    point('b', 70, 2, 400),
    point('c', 71, 2, 400),
    point('d', 71, 2, 400),
  ];
  t.equal(choose(['accuracy>=70'], ['decodeMs', 'shippedBytes'], tied).id, 'c');
});

t.test('no points', async (t) => {
  t.match(choose(['accuracy>=70'], ['decodeMs'], []), { id: null, reason: /no candidate was measured/ });
});
