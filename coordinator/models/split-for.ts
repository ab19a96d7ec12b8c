import { CodedError } from '@fleetlora/shared/errors';
import type { Dataset, DatasetSplit, SplitName } from '@fleetlora/shared/protocol';

/** `train`: rows to learn from. `score`: candidates are compared on. `final`: the front is scored again on. */
export type SplitUse = 'train' | 'score' | 'final';

/** A split of a data set and where in its (shuffled) rows a use of it starts. */
export interface ChosenSplit extends DatasetSplit {
  readonly name: SplitName;
  /** Rows that come before; the use has `rows - skip` rows. */
  readonly skip: number;
}

/** Preferred first. Rows that a candidate was trained on never score it, so `train` is not among the last two. */
const preferences: Readonly<Record<Exclude<SplitUse, 'final'>, readonly SplitName[]>> = {
  train: ['train', 'all'],
  score: ['validation', 'test', 'all'],
};

/**
 * The split that serves a use: `train` the split of that name, else the whole; `score` validation,
 * else test, else the whole; `final` test when validation scored, else what `score` left over.
 * @param scoreRows rows that `score` takes; only `final` asks for them
 * @throws BAD_REQUEST naming the data set, its splits and the ones wanted
 */
export function splitFor(
  dataset: Pick<Dataset, 'name' | 'splits'>,
  use: SplitUse,
  scoreRows = 0,
): ChosenSplit {
  if (use !== 'final') return choose(dataset, preferences[use], use);
  const scored = choose(dataset, preferences.score, 'score');
  return scored.name === 'validation' && dataset.splits.test
    ? { name: 'test', ...dataset.splits.test, skip: 0 }
    : { ...scored, skip: scoreRows };
}

function choose(
  { name, splits }: Pick<Dataset, 'name' | 'splits'>,
  wanted: readonly SplitName[],
  use: SplitUse,
): ChosenSplit {
  for (const split of wanted) {
    const found = splits[split];
    if (found) return { name: split, ...found, skip: 0 };
  }
  throw new CodedError(
    'BAD_REQUEST',
    `data set "${name}" has the splits ${Object.keys(splits).join(', ')}, ` +
      `wanted one to ${use === 'train' ? 'train' : 'score'} on: ${wanted.join(', ')}`,
  );
}
