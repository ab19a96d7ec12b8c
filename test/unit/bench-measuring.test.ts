import type { PairJob } from '@fleetlora/bench/measuring/compare-pairs';
import { apart } from '@fleetlora/bench/measuring/compare-pairs';
import {
  countFound,
  countToldApart,
  coverage,
  halfWidth,
  toldApart,
  unpairedDifference,
} from '@fleetlora/bench/measuring/intervals';
import { sessionsOf } from '@fleetlora/bench/measuring/quantities';
import { slowEntrant } from '@fleetlora/bench/measuring/slow-entrant';
import type { Measurement } from '@fleetlora/shared/protocol';
import { floatTensor, type Runtime } from '@fleetlora/shared/runtime';
import t from 'tap';
import { measurement } from '../lib/test-fleet.js';

t.test('an unpaired difference of 1 2 3 against 2 4 6 has the interval of Welch', async (t) => {
  // Means 4 and 2, variances 4 and 1, errors 4/3 and 1/3: sum 5/3. Degrees of freedom
  // (5/3)² / ((4/3)²/2 + (1/3)²/2) = 2.94, so 2: t = 4.303. Half width 4.303·√(5/3) = 5.555 of 2.
  const { percent, low, high } = unpairedDifference([2, 4, 6], [1, 2, 3]);
  t.equal(percent, 100);
  t.ok(Math.abs(high - (100 + 277.7)) < 0.5, `${high}`);
  t.ok(Math.abs(low - (100 - 277.7)) < 0.5, `${low}`);
});

t.test('a difference is told apart when its interval leaves out 0, and found when it is above', async (t) => {
  const across = { percent: 1, low: -0.5, high: 2.5 };
  const touching = { percent: 1, low: 0, high: 2 };
  const above = { percent: 3, low: 0.1, high: 6 };
  const below = { percent: -3, low: -4, high: -0.1 };
  t.same([across, touching, above, below].map(toldApart), [false, false, true, true]);
  t.equal(countToldApart([across, touching, above, below]), 2);
  t.equal(countFound([across, touching, above, below]), 1);
  t.equal(coverage([across, touching, above, below], 2), 0.75, '2 % lies in three of the four');
  t.equal(halfWidth([across, above, below]), 1.95);
});

t.test('samples are cut into their sessions: 5 samples of sizes 2 and 3', async (t) => {
  const decode = { ...measurement.decode, n: 5, samplesMs: [1, 2, 3, 4, 5], sessionSizes: [2, 3] };
  t.same(sessionsOf({ ...measurement, decode }, 'decode'), [
    [1, 2],
    [3, 4, 5],
  ]);
  t.same(sessionsOf(measurement, 'decode'), [[2, 3]], 'without sizes there is one');
});

t.test('sessions of their own: each job against the next one of its genome, round about', async (t) => {
  const job = (genome: number, samplesMs: number[]): PairJob => {
    const decode = { ...measurement.decode, n: samplesMs.length, samplesMs, sessionSizes: [2, 1] };
    const first: Measurement = { ...measurement, decode: { ...decode, sessionMediansMs: [1.5, 4] } };
    return { genome, first } as unknown as PairJob;
  };
  const jobs = [job(0, [1, 2, 3]), job(0, [10, 20, 30]), job(1, [4, 5, 6])];
  const percents = (slowedBy: number): number[] =>
    apart(jobs, 'decode', 'samples', slowedBy).map(({ percent }) => percent);
  t.same(percents(0), [900, -90, 0], '20 against 2, 2 against 20, 5 against itself');
  t.ok(Math.abs((percents(0.03)[2] as number) - 3) < 1e-9, 'slowed by 3 %');
  t.same(
    apart(jobs, 'decode', 'oneSession', 0).map(({ percent }) => percent),
    [900, -90, 0],
    'means 15 and 1.5 of the first sessions',
  );
});

t.test('only the chosen entrant is kept busy, for the share of what its run took', async (t) => {
  let nowMs = 0;
  const clock = (): number => {
    // A look at the clock takes 1 ms here, so that waiting for a time ends.
    nowMs += 1;
    return nowMs;
  };
  const runs: number[] = [];
  const runtime: Runtime = {
    version: 'fake',
    provider: 'cpu',
    async createSession() {
      return {
        async run() {
          nowMs += 1000;
          return {};
        },
        release: async () => {},
      };
    },
  };
  const slowed = slowEntrant(runtime, 1, 0.5, clock);
  const session = await slowed.createSession(new Uint8Array(), { threads: 1 });
  const feeds = [0, 1, 2].map(() => ({ 'layers.0.q.A': floatTensor([1, 1], new Float32Array(1)) }));
  for (const entrant of [0, 1, 2, 1, 0]) {
    const beginMs = nowMs;
    await session.run({}, ['logits'], [feeds[entrant] ?? {}]);
    runs.push(nowMs - beginMs);
  }
  const plain = runs[0] as number;
  t.ok(plain < 1010, `${plain}`);
  t.same([runs[2], runs[4]], [plain, plain]);
  for (const index of [1, 3]) t.ok(Math.abs((runs[index] as number) - 1.5 * plain) < 5, `${runs[index]}`);
  const before = nowMs;
  await session.run({ ids: floatTensor([1], new Float32Array(1)) }, ['logits']);
  t.ok(nowMs - before < 1010, 'a session without factors as inputs is left alone');
});
