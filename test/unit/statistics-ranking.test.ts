import { hypervolume, kendallTau } from '@fleetlora/shared/statistics';
import t from 'tap';

t.test('kendall tau: agreement, reversal, one swap of 3 pairs, ties', async (t) => {
  t.equal(kendallTau([1, 2, 3], [10, 20, 30]), 1);
  t.equal(kendallTau([1, 2, 3], [3, 2, 1]), -1);
  t.ok(Math.abs(kendallTau([1, 2, 3], [1, 3, 2]) - 1 / 3) < 1e-12);
  // two concordant pairs, one tied in b: 2 / sqrt(3 · 2)
  t.ok(Math.abs(kendallTau([1, 2, 3], [1, 2, 2]) - 2 / Math.sqrt(6)) < 1e-12);
  t.ok(Number.isNaN(kendallTau([1, 2], [1, 1])));
  t.throws(() => kendallTau([1], [1, 2]), RangeError);
});

t.test('hypervolume in 2 dimensions: a staircase, dominated points and points outside', async (t) => {
  t.equal(hypervolume([], [4, 4]), 0);
  t.equal(hypervolume([[1, 1]], [4, 4]), 9);
  // 3 columns of width 1 and heights 1, 2, 3
  const stairs = [
    [1, 3],
    [2, 2],
    [3, 1],
  ];
  t.equal(hypervolume(stairs, [4, 4]), 6);
  t.equal(hypervolume([...stairs, [3, 3], [2, 2]], [4, 4]), 6);
  t.equal(
    hypervolume(
      [
        [4, 0],
        [0, 4],
        [5, 5],
      ],
      [4, 4],
    ),
    0,
    'on the reference is outside',
  );
});

t.test('hypervolume in 3 dimensions: union of boxes', async (t) => {
  t.equal(hypervolume([[0, 0, 0]], [2, 3, 4]), 24);
  // 1·2·2 + 2·1·2 + 2·2·1 - three overlaps of 1·1·2, 1·2·1, 2·1·1 + 1 common
  t.equal(
    hypervolume(
      [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
      ],
      [2, 2, 2],
    ),
    4 + 4 + 4 - 2 - 2 - 2 + 1,
  );
  t.equal(
    hypervolume(
      [
        [1, 0, 0],
        [0, 1, 0],
      ],
      [2, 2, 2],
    ),
    4 + 4 - 2,
    'equal last coordinates',
  );
});

t.test('hypervolume in 1 and 4 dimensions', async (t) => {
  t.equal(hypervolume([[3], [1]], [4]), 3);
  t.equal(
    hypervolume(
      [
        [0, 0, 0, 0],
        [1, 1, 1, 1],
      ],
      [2, 2, 2, 2],
    ),
    16,
  );
});
