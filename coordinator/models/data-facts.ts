import { createHash } from 'node:crypto';
import type { SplitName } from '@fleetlora/shared/protocol';
import type { LabelledRow } from './make-row.js';

/** As the protocol lists them; written out, because a thread that imports data loads no schema. */
export const splitOrder = ['all', 'train', 'validation', 'test'] as const satisfies readonly SplitName[];

/**
 * What the splits and the report are made from: a few numbers for each row, the texts left out.
 * `prompts[i]` and `labels[i]` number the prompt and the class of row i in the order they came up.
 */
export interface DataFacts {
  readonly prompts: number[];
  /** Null without a label column. */
  readonly labels: number[] | null;
  /** Names of the classes by number. */
  readonly labelNames: readonly string[];
  /** Distinct prompts. */
  readonly promptCount: number;
  /** Split of each row. */
  readonly splits: SplitName[];
  /** Rows by a column of the prompt that is blank in them. */
  readonly blanks: ReadonlyMap<string, number>;
}

export interface FactsCollector {
  /** Added so far. */
  readonly rows: number;
  add(row: LabelledRow, split: SplitName): void;
  facts(): DataFacts;
}

/** Gathers facts row by row. Prompts are equal when they differ in white space alone. */
export function collectFacts(options: { readonly labelled: boolean }): FactsCollector {
  const prompts: number[] = [];
  const labels: number[] = [];
  const splits: SplitName[] = [];
  const blanks = new Map<string, number>();
  const numberOfPrompt = new Map<string, number>();
  const numberOfLabel = new Map<string, number>();
  return {
    get rows() {
      return splits.length;
    },
    add({ prompt, label, blankColumn }, split) {
      prompts.push(numberOf(numberOfPrompt, promptKey(prompt)));
      if (options.labelled) labels.push(numberOf(numberOfLabel, label ?? ''));
      splits.push(split);
      if (blankColumn !== undefined) blanks.set(blankColumn, (blanks.get(blankColumn) ?? 0) + 1);
    },
    facts: () => ({
      prompts,
      labels: options.labelled ? labels : null,
      labelNames: [...numberOfLabel.keys()],
      promptCount: numberOfPrompt.size,
      splits,
      blanks,
    }),
  };
}

function numberOf(numbers: Map<string, number>, key: string): number {
  const known = numbers.get(key);
  if (known !== undefined) return known;
  numbers.set(key, numbers.size);
  return numbers.size - 1;
}

/** Sixteen bytes instead of a text: a million prompts are told apart in a hundred megabytes. */
function promptKey(prompt: string): string {
  const plain = prompt.trim().replace(/\s+/g, ' ');
  return createHash('sha256').update(plain).digest('binary').slice(0, 16);
}
