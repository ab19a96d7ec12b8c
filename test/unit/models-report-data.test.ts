import { type DataFacts, reportData, splitOrder } from '@fleetlora/coordinator/models';
import { type SplitName, splitNames } from '@fleetlora/shared/protocol';
import t from 'tap';

/** Facts of rows written as [split, prompt, class]. */
function factsOf(rows: readonly (readonly [SplitName, string, string?])[]): DataFacts {
  const number = (values: readonly string[]) => {
    const distinct = [...new Set(values)];
    return { distinct, numbers: values.map((value) => distinct.indexOf(value)) };
  };
  const prompts = number(rows.map(([, prompt]) => prompt));
  const labels = number(rows.map(([, , label]) => label ?? ''));
  const labelled = rows.some(([, , label]) => label !== undefined);
  return {
    prompts: prompts.numbers,
    promptCount: prompts.distinct.length,
    labels: labelled ? labels.numbers : null,
    labelNames: labelled ? labels.distinct : [],
    splits: rows.map(([split]) => split),
    blanks: new Map(),
  };
}

t.test('splits are listed as the protocol lists them', async (t) => {
  t.same(splitOrder, splitNames);
});

t.test('classes by size, equal ones by name, and the largest over the smallest', async (t) => {
  const report = reportData(
    factsOf([
      ['all', '1', 'b'],
      ['all', '2', 'a'],
      ['all', '3', 'c'],
      ['all', '4', 'c'],
      ['all', '5', 'c'],
    ]),
  );
  t.same(report.labels, [
    { label: 'c', rows: 3 },
    { label: 'a', rows: 1 },
    { label: 'b', rows: 1 },
  ]);
  t.equal(report.imbalance, 3);
});

t.test('without a label column there are no classes and no imbalance', async (t) => {
  t.match(
    reportData(
      factsOf([
        ['all', 'x'],
        ['all', 'y'],
      ]),
    ),
    { labels: null, imbalance: null, warnings: [] },
  );
});

t.test('duplicates are counted within a split, leaks between two', async (t) => {
  const report = reportData(
    factsOf([
      ['train', 'x'],
      ['train', 'x'],
      ['train', 'x'],
      ['train', 'y'],
      ['validation', 'y'],
      ['test', 'x'],
      ['test', 'x'],
      ['test', 'y'],
      ['test', 'z'],
    ]),
  );
  // Of train two more x, of test one more.
  t.equal(report.duplicateRows, 3);
  t.same(report.leaks, [
    { splits: ['train', 'validation'], rows: 1 },
    { splits: ['train', 'test'], rows: 3 },
    { splits: ['validation', 'test'], rows: 1 },
  ]);
  t.match(report.warnings.join('\n'), /^1 row of validation has a prompt that train has too/m);
  t.match(report.warnings.join('\n'), /^3 rows of test have a prompt that train has too/m);
  t.match(report.warnings.join('\n'), /^2 rows of train repeat an earlier prompt/m);
  t.match(report.warnings.join('\n'), /^1 row of test repeats an earlier prompt/m);
});

t.test('classes that a split lacks, and what that means for train', async (t) => {
  const { warnings } = reportData(
    factsOf([
      ['train', '1', 'a'],
      ['train', '2', 'a'],
      ['train', '3', 'b'],
      ['train', '4', 'b'],
      ['test', '5', 'a'],
      ['test', '6', 'c'],
    ]),
  );
  t.same(warnings, [
    'train lacks 1 of 3 classes, so it cannot be learnt: "c"',
    'test lacks 1 of 3 classes: "b"',
  ]);
});

t.test('blank columns of prompts', async (t) => {
  const facts = factsOf([
    ['all', 'x'],
    ['all', 'y'],
  ]);
  t.same(reportData({ ...facts, blanks: new Map([['text', 2]]) }).warnings, [
    '2 rows have nothing in "text"',
  ]);
});

t.test('one prompt under two classes', async (t) => {
  const { warnings } = reportData(
    factsOf([
      ['all', 'x', 'a'],
      ['all', 'x', 'b'],
      ['all', 'y', 'a'],
      ['all', 'z', 'b'],
    ]),
  );
  t.match(warnings.join('\n'), /1 prompt stands with different classes/);
});

const sized = (large: number): DataFacts =>
  factsOf(
    Array.from({ length: large + 1 }, (_, row) => ['all', `${row}`, row < large ? 'big' : 'small'] as const),
  );

t.test('imbalance is a warning from 10 to 1 on: 9 to 1, 10 to 1', async (t) => {
  t.same(reportData(sized(9)).warnings, []);
  t.match(reportData(sized(10)).warnings, [/"big" has 10 rows, "small" 1 \(10 to 1\)/]);
});

t.test('columns that are hardly classes: one class; more classes than half of the rows', async (t) => {
  t.match(
    reportData(
      factsOf([
        ['all', '1', 'a'],
        ['all', '2', 'a'],
      ]),
    ).warnings,
    [/of one class, "a"/],
  );
  const many = (classes: number) =>
    reportData(
      factsOf(Array.from({ length: 8 }, (_, row) => ['all', `${row}`, `c${row % classes}`] as const)),
    );
  t.same(many(4).warnings, []);
  t.match(many(5).warnings, [/5 classes in 8 rows/]);
});

t.test('1000 classes are listed; 1001 are too, but for one', async (t) => {
  const of = (classes: number) =>
    reportData(
      factsOf(
        Array.from({ length: classes * 2 }, (_, row) => ['all', `${row}`, `c${row % classes}`] as const),
      ),
    );
  t.equal(of(1000).labels?.length, 1000);
  t.same(of(1000).warnings, []);
  t.equal(of(1001).labels?.length, 1000);
  t.match(of(1001).warnings, [/of 1001 classes the 1000 largest/]);
});
