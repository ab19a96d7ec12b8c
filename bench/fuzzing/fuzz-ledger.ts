import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { type ErrorCode, errorTable } from '@fleetlora/shared/errors';

const codes = Object.keys(errorTable) as ErrorCode[];

/** What is counted of the files that a reader was given. */
const counters = [
  /** Number of the file that is being read. */
  'current',
  'files',
  'read',
  'pastHeader',
  /** Answers that are no answer: an error without a code, or one that says it is ours. */
  'crashes',
  /** Answers that took longer than a stranger's file may keep a reader. */
  'slow',
  'overReads',
  /** Refusals whose message names no place, or is too long to be shown. */
  'unplaced',
  /** Files that more memory was asked for than they can need. */
  'overAllocations',
  'slowestMs',
  'largestAllocation',
] as const;
export type Counter = (typeof counters)[number];

/** Counts as they stand: by counter, and refusals by their code. */
export interface LedgerCounts {
  readonly counts: Readonly<Record<Counter, number>>;
  readonly refusals: Readonly<Partial<Record<ErrorCode, number>>>;
}

/**
 * The counts of a process that may die at any file. Invariant: they are in the ledger's file before
 * the next file is read, so whoever finds the process dead knows at which file, and all before it.
 */
export interface FuzzLedger {
  add(counter: Counter, by?: number): void;
  raise(counter: Counter, to: number): void;
  refuse(code: ErrorCode): void;
  /** Writes everything, `current` last of all that changed. */
  begin(file: number): void;
  close(): void;
}

export function openFuzzLedger(path: string): FuzzLedger {
  const numbers = new Float64Array(counters.length + codes.length);
  const handle = openSync(path, 'w');
  const write = (): void => {
    writeSync(handle, numbers, 0, numbers.byteLength, 0);
  };
  const at = (counter: Counter): number => counters.indexOf(counter);
  const value = (index: number): number => numbers[index] as number;
  return {
    add(counter, by = 1) {
      numbers[at(counter)] = value(at(counter)) + by;
    },
    raise(counter, to) {
      numbers[at(counter)] = Math.max(value(at(counter)), to);
    },
    refuse(code) {
      const index = counters.length + codes.indexOf(code);
      numbers[index] = value(index) + 1;
    },
    begin(file) {
      numbers[at('current')] = file;
      write();
    },
    close() {
      write();
      closeSync(handle);
    },
  };
}

/** What a ledger says; null when nothing was written yet. */
export function readFuzzLedger(path: string): LedgerCounts | null {
  const bytes = readFileSync(path);
  if (bytes.length < 8 * (counters.length + codes.length)) return null;
  const numberAt = (index: number): number => bytes.readDoubleLE(8 * index);
  return {
    counts: Object.fromEntries(counters.map((counter, index) => [counter, numberAt(index)])) as Record<
      Counter,
      number
    >,
    refusals: Object.fromEntries(
      codes
        .map((code, index) => [code, numberAt(counters.length + index)] as const)
        .filter(([, count]) => count > 0),
    ),
  };
}
