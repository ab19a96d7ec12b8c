import { createRandom } from '@fleetlora/shared/random';
import { pairedShift, percentDifference } from '@fleetlora/shared/statistics';
import t from 'tap';

const zeros = (n: number): number[] => Array(n).fill(0);
/** All (x[i] + x[j]) / 2 with i <= j, ascending: the definition, spelled out. */
function averagesOfTwo(x: readonly number[]): number[] {
  const ascending = [...x].sort((a, b) => a - b);
  const averages = ascending.flatMap((first, i) => ascending.slice(i).map((second) => (first + second) / 2));
  return averages.sort((a, b) => a - b);
}
/** Differences whose averages are all different, so that a value tells its rank. */
function someDifferences(n: number, seed = 1): number[] {
  const random = createRandom(seed);
  return Array.from({ length: n }, () => random.next() ** 2 - 0.3);
}
const near = (found: number, wanted: number, within = 1e-9): boolean => Math.abs(found - wanted) <= within;

t.test(
  'depression before and after a tranquilizer, 9 patients: -0.46, 96.1 % from -0.786 to -0.010',
  async (t) => {
    // Hollander and Wolfe, table 3.1 and examples 3.3 and 3.4; 96.1 % because P(T <= 5) = 10 / 512.
    const before = [1.83, 0.5, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.3];
    const after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
    for (const confidence of [0.95, 1 - 20 / 512]) {
      const { shift, low, high, pairs } = pairedShift(after, before, confidence);
      t.ok(near(shift, -0.46) && near(low, -0.786) && near(high, -0.01), `at ${confidence}`);
      t.equal(pairs, 9);
    }
    // One sum of ranks further in: P(T <= 6) = 14 / 512.
    t.ok(pairedShift(after, before, 1 - 28 / 512).low > -0.786);
  },
);

t.test('ends of the interval at 95 % and 99 %: the tabled ranks, 6 to 1,024 pairs', async (t) => {
  // One above the critical values of the signed-rank test, two-sided, computed exactly; above 100
  // pairs the normal approximation is at most 1 in 1,000 (95 %) or 1 in 400 (99 %) inside of it.
  const exact: [pairs: number, rank95: number, rank99: number][] = [
    [6, 1, 0],
    [8, 4, 1],
    [10, 9, 4],
    [15, 26, 16],
    [25, 90, 69],
    [50, 435, 374],
    [65, 773, 682],
    [100, 1956, 1780],
  ];
  for (const [pairs, rank95, rank99] of exact) {
    const differences = someDifferences(pairs);
    const averages = averagesOfTwo(differences);
    for (const [confidence, rank] of [
      [0.95, rank95],
      [0.99, rank99],
    ] as const) {
      if (rank === 0) continue;
      const { low, high } = pairedShift(differences, zeros(pairs), confidence);
      t.equal(low, averages[rank - 1], `${pairs} pairs at ${confidence}: low`);
      t.equal(high, averages.at(-rank), `${pairs} pairs at ${confidence}: high`);
    }
  }
  const approximate: typeof exact = [
    [101, 1998, 1819],
    [200, 8445, 7945],
    [1024, 243849, 238030],
  ];
  for (const [pairs, rank95, rank99] of approximate) {
    const differences = someDifferences(pairs);
    const averages = averagesOfTwo(differences);
    for (const [confidence, rank, within] of [
      [0.95, rank95, 0.001],
      [0.99, rank99, 0.0025],
    ] as const) {
      const { low, high } = pairedShift(differences, zeros(pairs), confidence);
      const found = averages.indexOf(low) + 1;
      t.ok(found <= rank && found > rank * (1 - within), `${pairs} pairs at ${confidence}: rank ${found}`);
      t.equal(high, averages.at(-found), 'both ends alike');
    }
  }
});

t.test('shift: the median of all averages of two, odd and even in number', async (t) => {
  // 1, 1.5, 2.5, 2, 3, 4: the middle two are 2 and 2.5.
  t.equal(pairedShift([1, 2, 4], zeros(3)).shift, 2.25);
  // 10 averages of 1, 2, 4, 8: 1, 1.5, 2, 2.5, 3, 4, 4.5, 5, 6, 8.
  t.equal(pairedShift([1, 2, 4, 8], zeros(4)).shift, 3.5);
  // 15 averages of 1 ... 5: symmetric about 3.
  t.equal(pairedShift([5, 3, 1, 2, 4], zeros(5)).shift, 3);
  for (const pairs of [2, 5, 7, 64, 300]) {
    const differences = someDifferences(pairs, pairs);
    const averages = averagesOfTwo(differences);
    const half = averages.length / 2;
    const wanted =
      averages.length % 2 === 1
        ? averages[Math.floor(half)]
        : ((averages[half - 1] as number) + (averages[half] as number)) / 2;
    t.equal(pairedShift(differences, zeros(pairs)).shift, wanted, `${pairs} pairs`);
  }
});

t.test('the order of subtraction and what both share: a - b, whatever is added to both', async (t) => {
  const b = someDifferences(20, 3).map((value) => 100 + 50 * value);
  const a = b.map((value, index) => value + 2 + (index % 3) * 0.25);
  const { shift, low, high } = pairedShift(a, b);
  t.ok(near(shift, 2.25, 1e-6));
  t.ok(low > 2 - 1e-6 && high < 2.5 + 1e-6, 'the spread of the rounds, 40, does not count');
  const back = pairedShift(b, a);
  t.same([back.shift, back.low, back.high], [-shift, -high, -low]);
});

t.test('equal differences, and ties at zero: no width', async (t) => {
  t.same(pairedShift(Array(40).fill(5), Array(40).fill(3)), { shift: 2, low: 2, high: 2, pairs: 40 });
  t.same(pairedShift(zeros(300), zeros(300)), { shift: 0, low: 0, high: 0, pairs: 300 });
});

t.test(
  'one interrupted pair of 65, a thousand times longer, moves nothing by more than a neighbour',
  async (t) => {
    const differences = someDifferences(65, 9);
    const calm = pairedShift(differences, zeros(65));
    const disturbed = pairedShift([1000, ...differences.slice(1)], zeros(65));
    t.ok(Math.abs(disturbed.shift - calm.shift) < 0.02);
    t.ok(disturbed.high - calm.high < 0.05);
  },
);

t.test('few pairs: infinite from 1, the t interval from 2 to 5, smallest and largest of 6', async (t) => {
  t.same(pairedShift([3], [1]), { shift: 2, low: -Infinity, high: Infinity, pairs: 1 });
  // Mean 2, standard deviation 1, t(0.975, 2) = 4.302653.
  const three = pairedShift([1, 2, 3], zeros(3));
  t.ok(
    near(three.low, 2 - 4.302653 / Math.sqrt(3), 1e-5) && near(three.high, 2 + 4.302653 / Math.sqrt(3), 1e-5),
  );
  // Mean 3, standard deviation sqrt(2.5), t(0.975, 4) = 2.776445.
  const five = pairedShift([1, 2, 3, 4, 5], zeros(5));
  t.ok(near(five.low, 3 - 2.776445 * Math.sqrt(0.5), 1e-3));
  const six = pairedShift([1, 2, 3, 4, 5, 9], zeros(6));
  t.same([six.low, six.high], [1, 9]);
  t.throws(() => pairedShift([], []), new RangeError('0 pairs have no shift, at least 1 is needed'));
  t.throws(() => pairedShift([1, 2], [1]), new RangeError('2 values are paired with 1'));
  for (const value of [Number.NaN, Infinity, -Infinity])
    t.throws(() => pairedShift([1, 2, value], [1, 2, 3]), RangeError, `${value}`);
});

t.test(
  '95 % interval of equal candidates with a long tail, 15 and 65 pairs: 3 to 7 % of 1,000 leave out 0',
  async (t) => {
    for (const pairs of [15, 65]) {
      const random = createRandom(pairs);
      let missed = 0;
      for (let trial = 0; trial < 1000; trial++) {
        // Step times of two equal candidates: a shared drift, and an interrupt in every tenth.
        const sample = (round: number): number =>
          10 + Math.sin(round) + random.normal() * 0.1 + (random.below(10) === 0 ? random.next() * 5 : 0);
        const a = Array.from({ length: pairs }, (_, round) => sample(round));
        const b = Array.from({ length: pairs }, (_, round) => sample(round));
        const { low, high } = pairedShift(a, b);
        if (low > 0 || high < 0) missed++;
      }
      // 50 ± 3 standard deviations of 6.9.
      t.ok(missed >= 30 && missed <= 70, `${pairs} pairs: ${missed}`);
    }
  },
);

t.test('difference in percent: of the median of the reference, in thousandths', async (t) => {
  const reference = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((value) => value + 1);
  // Every pair is 0.3 above, the median of the reference is 6.
  t.same(
    percentDifference(
      reference.map((value) => value + 0.3),
      reference,
    ),
    { percent: 5, low: 5, high: 5 },
  );
  // 1 of 3: a third.
  t.equal(percentDifference([4, 4], [3, 3]).percent, 33.333);
  t.equal(percentDifference([2, 2], [3, 3]).percent, -33.333);
  t.same(percentDifference([4], [2]), { percent: 100, low: -1e6, high: 1e6 }, 'a single pair tells nothing');
  t.same(
    percentDifference([1, 2], [0, 0]),
    { percent: 0, low: -1e6, high: 1e6 },
    'nor does a reference of 0',
  );
  t.equal(percentDifference([1e9, 1e9], [1, 1]).percent, 1e6, 'no more than a message may carry');
  t.throws(() => percentDifference([1], [1, 2]), RangeError);
});
