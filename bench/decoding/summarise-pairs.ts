import { median } from '@fleetlora/shared/statistics';
import type { Pairs } from './compare-programs.js';

/** What pairs say; over 1: we are faster. */
export type PairSummary = {
  /** Of the shortest times. */
  readonly ratio: number;
  /** Of the ratios of pairs. */
  readonly median: number;
  /** Shortest times, of a token or of a prompt. */
  readonly ourMs: number;
  readonly theirMs: number;
};

/** @param tokens that each time is of */
export function summarisePairs({ ours, theirs }: Pairs, tokens: number): PairSummary {
  const round = (value: number): number => Number(value.toPrecision(3));
  return {
    ratio: round(Math.min(...theirs) / Math.min(...ours)),
    median: round(median(ours.map((ms, pair) => (theirs[pair] as number) / ms))),
    ourMs: round(Math.min(...ours) / tokens),
    theirMs: round(Math.min(...theirs) / tokens),
  };
}
