import {
  crowdingDistances,
  dominates,
  nonDominatedSort,
  paretoFront,
  spread,
} from '@fleetlora/coordinator/search';
import { createRandom } from '@fleetlora/shared/random';
import t from 'tap';

t.test('dominates: nowhere worse and somewhere better', async (t) => {
  t.ok(dominates([1, 2], [1, 3]));
  t.notOk(dominates([1, 2], [1, 2]), 'equal vectors do not');
  t.notOk(dominates([1, 3], [2, 2]));
});

t.test('front of 5 points with a duplicate: both copies stay', async (t) => {
  t.same(
    paretoFront([
      [3, 1],
      [1, 3],
      [2, 2],
      [2, 3],
      [2, 2],
    ]),
    [0, 1, 2, 4],
  );
  t.same(paretoFront([]), []);
});

t.test('sort: three fronts', async (t) => {
  t.same(
    nonDominatedSort([
      [3, 3],
      [1, 2],
      [2, 1],
      [2, 2],
    ]),
    [[1, 2], [3], [0]],
  );
});

t.test('fronts of 200 random vectors in 3 dimensions agree with the definition', async (t) => {
  const random = createRandom(7);
  const vectors = Array.from({ length: 200 }, () => [random.below(12), random.below(12), random.below(12)]);
  const byDefinition = vectors.flatMap((vector, index) =>
    vectors.some((other) => dominates(other, vector)) ? [] : [index],
  );
  t.same(paretoFront(vectors), byDefinition);
  const fronts = nonDominatedSort(vectors);
  t.same(
    fronts.flat().sort((a, b) => a - b),
    vectors.map((_, index) => index),
  );
  for (const [level, front] of fronts.slice(1).entries()) {
    const above = fronts[level] as number[];
    const all = front.every((index) =>
      above.some((better) => dominates(vectors[better] as number[], vectors[index] as number[])),
    );
    t.ok(all, `every member of front ${level + 1} is dominated by one of front ${level}`);
  }
});

t.test('crowding: ends are infinite, between them the neighbours count by share of the range', async (t) => {
  // range 4 on both axes; neighbours of [1, 3] are 2 and 2 apart, those of [2, 2] 3 and 3
  t.same(
    crowdingDistances([
      [0, 4],
      [1, 3],
      [2, 2],
      [4, 0],
    ]),
    [Infinity, 1, 1.5, Infinity],
  );
  t.same(
    crowdingDistances([
      [1, 1],
      [1, 1],
    ]),
    [0, 0],
    'no range, no ends',
  );
});

t.test('spread: drops the most crowded, never what is to be kept', async (t) => {
  const line = [
    [0, 10],
    [1, 9],
    [2, 8],
    [9, 1],
    [10, 0],
  ];
  t.same(spread(line, 3), [0, 2, 4]);
  t.same(spread(line, 3, new Set([1])), [0, 1, 4]);
  t.same(spread(line, 5), [0, 1, 2, 3, 4]);
  t.same(spread(line, 0, new Set([3])), [3]);
  t.same(spread(line, 0), []);
});
