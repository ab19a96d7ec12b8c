import { splitFor } from '@fleetlora/coordinator/models';
import { type Dataset, type SplitName, splitNames } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';

/** Splits of 10, 20, ... rows in the order all, train, validation, test. */
const withSplits = (...names: SplitName[]): Pick<Dataset, 'name' | 'splits'> => ({
  name: 'intents',
  splits: Object.fromEntries(
    names.map((name) => [name, { digest: name, rows: 10 * (splitNames.indexOf(name) + 1) }]),
  ),
});

t.test(
  'which split serves what: [splits, train, score, final and the rows it skips after 7 to score]',
  async (t) => {
    const cases: readonly [SplitName[], SplitName | null, SplitName | null, SplitName | null, number][] = [
      [['all'], 'all', 'all', 'all', 7],
      [['train', 'validation', 'test'], 'train', 'validation', 'test', 0],
      [['train', 'validation'], 'train', 'validation', 'validation', 7],
      [['train', 'test'], 'train', 'test', 'test', 7],
      [['validation', 'test'], null, 'validation', 'test', 0],
      [['test'], null, 'test', 'test', 7],
      [['train'], 'train', null, null, 0],
    ];
    for (const [names, train, score, final, skip] of cases) {
      const dataset = withSplits(...names);
      const choose = (use: 'train' | 'score' | 'final', wanted: SplitName | null, skipped: number): void => {
        if (wanted === null)
          t.throws(
            () => splitFor(dataset, use, 7),
            coded('BAD_REQUEST', '"intents"', names.join(', ')),
            names.join(),
          );
        else
          t.same(
            splitFor(dataset, use, 7),
            { name: wanted, ...dataset.splits[wanted], skip: skipped },
            `${names.join()}: ${use}`,
          );
      };
      choose('train', train, 0);
      choose('score', score, 0);
      choose('final', final, skip);
    }
  },
);

t.test('rows that only train are refused for scoring by the splits that would do', async (t) => {
  t.throws(
    () => splitFor(withSplits('train'), 'score'),
    coded('BAD_REQUEST', 'has the splits train', 'score on: validation, test, all'),
  );
  t.throws(() => splitFor(withSplits('test'), 'train'), coded('BAD_REQUEST', 'train on: train, all'));
});
