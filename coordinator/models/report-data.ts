import type { DatasetReport, SplitName } from '@fleetlora/shared/protocol';
import { type DataFacts, splitOrder } from './data-facts.js';

/** Classes that the report lists; those after them are counted in a warning. */
const MAX_CLASSES = 1000;
const MAX_LABEL_CHARACTERS = 200;
/** Names given in one warning. */
const NAMED = 5;
/** From here on, a model that always names the largest class looks better than it is. */
const IMBALANCE_WORTH_SAYING = 10;
/** More classes than this share of the rows: it is hardly a column of classes. */
const CLASSES_PER_ROW = 0.5;

/**
 * What is to be known about data before it is trained or scored on.
 * @param facts every row with its split
 */
export function reportData(facts: DataFacts): DatasetReport {
  const names = splitOrder.filter((name) => facts.splits.includes(name));
  const labels = facts.labels === null ? null : countLabels(facts.labels, facts.labelNames);
  const imbalance = labels === null ? null : imbalanceOf(labels);
  const duplicates = countDuplicates(facts, names);
  const duplicateRows = [...duplicates.values()].reduce((sum, rows) => sum + rows, 0);
  const leaks = findLeaks(facts, names);
  return {
    labels:
      labels
        ?.slice(0, MAX_CLASSES)
        .map(({ label, rows }) => ({ label: label.slice(0, MAX_LABEL_CHARACTERS), rows })) ?? null,
    imbalance,
    duplicateRows,
    leaks,
    warnings: [
      ...[...facts.blanks].map(([column, rows]) => `${countRows(rows)} ${have(rows)} nothing in "${column}"`),
      ...warnOfLabels(facts, labels, imbalance),
      ...warnOfMissing(facts, names),
      ...leaks.map(
        ({ splits: [first, second], rows }) =>
          `${countRows(rows)} of ${second} ${have(rows)} a prompt that ${first} has too, so learning by heart pays there`,
      ),
      ...[...duplicates].flatMap(([split, rows]) =>
        rows === 0
          ? []
          : [`${countRows(rows)}${inSplit(split)} ${rows === 1 ? 'repeats' : 'repeat'} an earlier prompt`],
      ),
      ...warnOfContradictions(facts),
    ],
  };
}

interface LabelCount {
  readonly label: string;
  readonly rows: number;
}

/** Largest first, equal ones by name. */
function countLabels(labels: readonly number[], names: readonly string[]): LabelCount[] {
  const counts: number[] = Array(names.length).fill(0);
  for (const label of labels) counts[label] = (counts[label] as number) + 1;
  return names
    .map((label, index) => ({ label, rows: counts[index] as number }))
    .sort((a, b) => b.rows - a.rows || (a.label < b.label ? -1 : 1));
}

function imbalanceOf(labels: readonly LabelCount[]): number | null {
  const [largest, smallest] = [labels[0], labels.at(-1)];
  return largest && smallest ? largest.rows / smallest.rows : null;
}

/** Rows of each split whose prompt occurred before in it. */
function countDuplicates(
  { prompts, splits, promptCount }: DataFacts,
  names: readonly SplitName[],
): Map<SplitName, number> {
  const found = new Map(names.map((name) => [name, 0]));
  const seen = new Map(names.map((name) => [name, new Uint8Array(promptCount)]));
  for (const [row, prompt] of prompts.entries()) {
    const split = splits[row] as SplitName;
    const marks = seen.get(split) as Uint8Array;
    if (marks[prompt] === 1) found.set(split, (found.get(split) as number) + 1);
    marks[prompt] = 1;
  }
  return found;
}

/** For each two splits, the rows of the later whose prompt the earlier has. */
function findLeaks(
  { prompts, splits, promptCount }: DataFacts,
  names: readonly SplitName[],
): DatasetReport['leaks'] {
  return names.flatMap((first, index) => {
    const known = new Uint8Array(promptCount);
    for (const [row, prompt] of prompts.entries()) if (splits[row] === first) known[prompt] = 1;
    return names.slice(index + 1).flatMap((second) => {
      let rows = 0;
      for (const [row, prompt] of prompts.entries())
        if (splits[row] === second) rows += known[prompt] as number;
      return rows === 0 ? [] : [{ splits: [first, second] as [string, string], rows }];
    });
  });
}

function warnOfLabels(
  { prompts }: DataFacts,
  labels: readonly LabelCount[] | null,
  imbalance: number | null,
): string[] {
  if (labels === null || imbalance === null) return [];
  const [largest, smallest] = [labels[0] as LabelCount, labels.at(-1) as LabelCount];
  const warnings: string[] = [];
  if (labels.length === 1)
    warnings.push(`all rows are of one class, "${largest.label}": there is nothing to tell apart`);
  else if (labels.length > prompts.length * CLASSES_PER_ROW)
    warnings.push(
      `${labels.length} classes in ${countRows(prompts.length)}: is the label column really one of classes?`,
    );
  else if (imbalance >= IMBALANCE_WORTH_SAYING)
    warnings.push(
      `class "${largest.label}" has ${countRows(largest.rows)}, "${smallest.label}" ${smallest.rows} (${imbalance.toFixed(0)} to 1): accuracy is mostly that of the large classes`,
    );
  if (labels.length > MAX_CLASSES)
    warnings.push(`of ${labels.length} classes the ${MAX_CLASSES} largest are listed`);
  return warnings;
}

/** Classes that occur in the data and not in a split. */
function warnOfMissing({ labels, labelNames, splits }: DataFacts, names: readonly SplitName[]): string[] {
  if (labels === null) return [];
  return names.flatMap((split) => {
    const present = new Uint8Array(labelNames.length);
    for (const [row, label] of labels.entries()) if (splits[row] === split) present[label] = 1;
    const missing = labelNames.filter((_name, label) => present[label] === 0);
    if (missing.length === 0) return [];
    const consequence =
      split === 'train' ? `, so ${missing.length === 1 ? 'it' : 'they'} cannot be learnt` : '';
    return [
      `${split} lacks ${missing.length} of ${labelNames.length} classes${consequence}: ${nameSome(missing)}`,
    ];
  });
}

/** Prompts that stand with several classes: at most one of them can be right. */
function warnOfContradictions({ prompts, labels, promptCount }: DataFacts): string[] {
  if (labels === null) return [];
  const first = new Int32Array(promptCount).fill(-1);
  const contradicted = new Uint8Array(promptCount);
  for (const [row, prompt] of prompts.entries()) {
    const label = labels[row] as number;
    if (first[prompt] === -1) first[prompt] = label;
    else if (first[prompt] !== label) contradicted[prompt] = 1;
  }
  const count = contradicted.reduce((sum, mark) => sum + mark, 0);
  if (count === 0) return [];
  return [
    `${count === 1 ? '1 prompt stands' : `${count} prompts stand`} with different classes in different rows`,
  ];
}

function nameSome(names: readonly string[]): string {
  const more = names.length - NAMED;
  const shown = names.slice(0, NAMED).map((name) => `"${name.slice(0, MAX_LABEL_CHARACTERS)}"`);
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const countRows = (rows: number): string => `${rows} ${rows === 1 ? 'row' : 'rows'}`;
const have = (rows: number): string => (rows === 1 ? 'has' : 'have');
const inSplit = (split: SplitName): string => (split === 'all' ? '' : ` of ${split}`);
