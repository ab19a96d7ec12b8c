import { assignSplits, type RowFacts, type SplitParts } from '@fleetlora/coordinator/models';
import { createRandom } from '@fleetlora/shared/random';
import t from 'tap';
import { coded } from '../lib/coded.js';

type Rows = RowFacts;

/** Rows with prompts of their own; `sizes` is the rows of each class, which are mixed. */
function classesOf(sizes: readonly number[]): Rows {
  const labels = createRandom(9).shuffle(sizes.flatMap((rows, label) => Array<number>(rows).fill(label)));
  return {
    prompts: labels.map((_label, row) => row),
    labels,
    promptCount: labels.length,
  };
}

const unlabelled = (prompts: number[]): Rows => ({
  prompts,
  labels: null,
  promptCount: new Set(prompts).size,
});

const parts = (train: number, validation: number, test: number, seed = 1): SplitParts => ({
  train,
  validation,
  test,
  seed,
});

/** Rows by split, of one class or of all. */
function count(rows: Rows, splits: readonly string[], label?: number): number[] {
  return ['train', 'validation', 'test'].map(
    (name) =>
      splits.filter((split, row) => split === name && (label === undefined || rows.labels?.[row] === label))
        .length,
  );
}

t.test('100 rows without classes in 80/10/10: exactly 80, 10 and 10', async (t) => {
  const rows = unlabelled([...Array(100).keys()]);
  t.same(count(rows, assignSplits(rows, parts(80, 10, 10))), [80, 10, 10]);
});

t.test('classes of 10, 20 and 70 rows in 80/10/10: each in these parts', async (t) => {
  const rows = classesOf([10, 20, 70]);
  const splits = assignSplits(rows, parts(80, 10, 10));
  t.same(count(rows, splits, 0), [8, 1, 1]);
  t.same(count(rows, splits, 1), [16, 2, 2]);
  t.same(count(rows, splits, 2), [56, 7, 7]);
});

t.test(
  '77 classes of 3 rows in 80/10/10: each class can be learnt, and all rows keep the parts',
  async (t) => {
    const rows = classesOf(Array(77).fill(3));
    const splits = assignSplits(rows, parts(80, 10, 10));
    for (let label = 0; label < 77; label++) t.ok((count(rows, splits, label)[0] as number) >= 1);
    // 231 rows: 184.8, 23.1 and 23.1.
    const [train = 0, validation = 0, test = 0] = count(rows, splits);
    t.ok(Math.abs(train - 184.8) <= 1 && Math.abs(validation - 23.1) <= 1 && Math.abs(test - 23.1) <= 1);
  },
);

t.test('classes of one row go to train', async (t) => {
  const rows = classesOf([1, 1, 1, 30]);
  const splits = assignSplits(rows, parts(50, 25, 25));
  for (const label of [0, 1, 2]) t.same(count(rows, splits, label), [1, 0, 0]);
});

t.test('rows of one prompt stay together, whatever their class', async (t) => {
  const random = createRandom(4);
  const prompts = Array.from({ length: 300 }, () => random.below(60));
  const numbered = [...new Set(prompts)];
  const rows: Rows = {
    ...unlabelled(prompts.map((prompt) => numbered.indexOf(prompt))),
    labels: prompts.map(() => random.below(4)),
  };
  const splits = assignSplits(rows, parts(60, 20, 20));
  const splitOf = new Map<number, string>();
  for (const [row, prompt] of rows.prompts.entries()) {
    const known = splitOf.get(prompt) ?? (splits[row] as string);
    splitOf.set(prompt, known);
    t.equal(splits[row], known);
  }
  t.equal(splits.length, 300);
});

t.test('the same seed deals the same out, another seed does not', async (t) => {
  const rows = classesOf([20, 30]);
  t.same(assignSplits(rows, parts(80, 10, 10)), assignSplits(rows, parts(80, 10, 10)));
  t.notSame(assignSplits(rows, parts(80, 10, 10)), assignSplits(rows, parts(80, 10, 10, 2)));
});

t.test('a part of 0 leaves its split out', async (t) => {
  const rows = classesOf([4, 4]);
  t.same(count(rows, assignSplits(rows, parts(0, 50, 50))), [0, 4, 4]);
  t.same(count(rows, assignSplits(rows, parts(100, 0, 0))), [8, 0, 0]);
});

t.test('a split that would be empty: 10 % of 10 rows is one row, of 4 rows none', async (t) => {
  const few = (rows: number) => assignSplits(unlabelled([...Array(rows).keys()]), parts(80, 10, 10));
  t.same(count(unlabelled([...Array(10).keys()]), few(10)), [8, 1, 1]);
  t.throws(() => few(4), coded('DATA_EMPTY', 'would get no row', '10 %', '4 rows'));
  t.throws(
    () => assignSplits(unlabelled([0, 0, 0, 0]), parts(50, 50, 0)),
    coded('DATA_EMPTY', '1 distinct prompts'),
  );
});
