import { CodedError } from '@fleetlora/shared/errors';
import type { DatasetImport, SplitName } from '@fleetlora/shared/protocol';
import { createRandom, type Random } from '@fleetlora/shared/random';
import type { DataFacts } from './data-facts.js';

export type SplitParts = NonNullable<DatasetImport['split']>;
const made = ['train', 'validation', 'test'] as const satisfies readonly SplitName[];

/** What dealing out looks at. */
export type RowFacts = Pick<DataFacts, 'prompts' | 'labels' | 'promptCount'>;

/** Rows of a class with one prompt: they stay together, or a split would know another's prompts. */
interface PromptGroup {
  readonly rows: number[];
}

/**
 * Deals rows out to splits: rows of one prompt to one split, every class in the wanted parts as
 * nearly as whole rows allow, so that all rows together are too. A class goes to `train` first.
 * @returns the split of each row; equal facts and seed give equal splits
 * @throws DATA_EMPTY when a split that was asked for gets no row
 */
export function assignSplits(facts: RowFacts, parts: SplitParts): SplitName[] {
  const random = createRandom(parts.seed);
  const names = made.filter((name) => parts[name] > 0);
  const shares = names.map((name) => parts[name] / 100);
  const splits: SplitName[] = Array(facts.prompts.length);
  const counts = names.map(() => 0);
  /** Rows that a split is owed by the classes dealt before; negative when it has too many. */
  let owed = names.map(() => 0);
  for (const groups of random.shuffle(groupByClass(facts))) {
    const size = groups.reduce((sum, { rows }) => sum + rows.length, 0);
    const ideal = shares.map((share, index) => share * size + (owed[index] as number));
    const dealt = dealOut(groups, wholeQuotas(ideal, size), random, (row, index) => {
      splits[row] = names[index] as SplitName;
    });
    owed = ideal.map((rows, index) => rows - (dealt[index] as number));
    for (const [index, rows] of dealt.entries()) counts[index] = (counts[index] as number) + rows;
  }
  const empty = names.find((_name, index) => counts[index] === 0);
  if (empty !== undefined)
    throw new CodedError(
      'DATA_EMPTY',
      `split "${empty}" would get no row: it wants ${parts[empty]} % of ${facts.prompts.length} rows with ${facts.promptCount} distinct prompts`,
    );
  return splits;
}

/** Groups by the class of their first row; one class when there are no labels. */
function groupByClass({ prompts, labels, promptCount }: RowFacts): PromptGroup[][] {
  const groups: (PromptGroup | undefined)[] = Array(promptCount);
  const classes = new Map<number, PromptGroup[]>();
  for (const [row, prompt] of prompts.entries()) {
    const known = groups[prompt];
    if (known) {
      known.rows.push(row);
      continue;
    }
    const group: PromptGroup = { rows: [row] };
    groups[prompt] = group;
    const label = labels?.[row] ?? 0;
    const others = classes.get(label);
    if (others) others.push(group);
    else classes.set(label, [group]);
  }
  return [...classes.values()];
}

/** Whole rows for each split, `size` together, by largest remainders; the first is never left out. */
function wholeQuotas(ideal: readonly number[], size: number): number[] {
  const quotas = ideal.map((rows) => Math.max(0, Math.floor(rows)));
  const total = (): number => quotas.reduce((sum, rows) => sum + rows, 0);
  const change = (by: 1 | -1): void => {
    const gaps = ideal.map((rows, index) => by * (rows - (quotas[index] as number)));
    const allowed = gaps.map((gap, index) => (by < 0 && quotas[index] === 0 ? -Infinity : gap));
    const furthest = allowed.indexOf(Math.max(...allowed));
    quotas[furthest] = (quotas[furthest] as number) + by;
  };
  while (total() < size) change(1);
  while (total() > size) change(-1);
  if (quotas[0] === 0) {
    const richest = quotas.indexOf(Math.max(...quotas));
    quotas[richest] = (quotas[richest] as number) - 1;
    quotas[0] = 1;
  }
  return quotas;
}

/** Deals shuffled groups, each to the split that lacks most; returns the rows each split got. */
function dealOut(
  groups: readonly PromptGroup[],
  quotas: readonly number[],
  random: Random,
  assign: (row: number, split: number) => void,
): number[] {
  const dealt = quotas.map(() => 0);
  for (const { rows } of random.shuffle(groups)) {
    const lacking = quotas.map((quota, index) => quota - (dealt[index] as number));
    const split = lacking.indexOf(Math.max(...lacking));
    dealt[split] = (dealt[split] as number) + rows.length;
    for (const row of rows) assign(row, split);
  }
  return dealt;
}
