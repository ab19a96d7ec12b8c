import { sessionRatio } from '@fleetlora/shared/statistics';
import t from 'tap';

const close = (found: number | undefined, wanted: number): boolean => Math.abs((found ?? 0) - wanted) < 1e-9;

t.test('geometric mean of the ratios of lower quartiles: 2 and 8 make 4', (t) => {
  const { ratio, low, high } = sessionRatio(
    [
      [2, 2, 100, 100],
      [8, 8, 8],
    ],
    [
      [1, 1, 2, 2],
      [1, 1, 1],
    ],
  );
  t.ok(close(ratio, 4), `${ratio}`);
  // Logarithms ln 2 and ln 8: half their distance is ln 2, which is s/√n of two; t(0.975, 1) = 12.7062.
  const half = 12.706204736 * Math.log(2);
  t.ok(Math.abs((low ?? 0) / (4 * Math.exp(-half)) - 1) < 1e-6, `${low}`);
  t.ok(Math.abs((high ?? 0) / (4 * Math.exp(half)) - 1) < 1e-6, `${high}`);
  t.end();
});

t.test('of five sessions the odd one changes nothing', (t) => {
  const sessions = (odd: number): number[][] => [[2], [3], [4], [5], [odd]];
  const ones = Array.from({ length: 5 }, () => [1]);
  t.strictSame(sessionRatio(sessions(6), ones), sessionRatio(sessions(600), ones));
  t.ok(close(sessionRatio(sessions(6), ones).ratio, 60 ** (1 / 3)));
  t.end();
});

t.test('a machine that is three times as slow in one session changes nothing', (t) => {
  const own = [[2, 2.1, 1.9], [2, 2.1, 1.9], [4]];
  const other = [[1], [1], [2]];
  const slow = (sessions: number[][]): number[][] =>
    sessions.map((session, index) => (index === 1 ? session.map((ms) => 3 * ms) : session));
  t.ok(close(sessionRatio(slow(own), slow(other)).ratio, sessionRatio(own, other).ratio));
  t.end();
});

t.test('one session has no interval', (t) => {
  t.strictSame(sessionRatio([[3]], [[2]]), { ratio: Math.exp(Math.log(1.5)) });
  t.end();
});

t.test('what has no ratio is refused', (t) => {
  t.throws(() => sessionRatio([], []), /0 sessions are set against 0/);
  t.throws(() => sessionRatio([[1], [1]], [[1]]), /2 sessions are set against 1/);
  t.throws(() => sessionRatio([[0]], [[1]]), /quartiles of 0 and 1 ms/);
  t.throws(() => sessionRatio([[1]], [[0]]), /quartiles of 1 and 0 ms/);
  t.throws(() => sessionRatio([[1]], [[]]), /quantile of no samples/);
  t.end();
});
