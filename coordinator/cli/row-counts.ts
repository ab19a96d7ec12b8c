import type { Dataset } from '@fleetlora/shared/protocol';

/** Rows of the cheap score and held-out ones, where the data has them. */
const SCORE_ROWS = 200;
const FINAL_ROWS = 1000;

/**
 * How many rows are scored where the options do not say: the usual numbers, or what the splits
 * have. Rows of one split are shared, half to each where they are few.
 */
export function rowCounts(
  { splits }: Pick<Dataset, 'splits'>,
  options: { readonly scoreRows?: number; readonly finalRows?: number },
): { scoreRows: number; finalRows: number } {
  const rows = (splits.validation ?? splits.test ?? splits.all)?.rows ?? 0;
  const apart = splits.validation && splits.test;
  const shared = apart ? 0 : (options.finalRows ?? Math.floor(rows / 2));
  const scoreRows = options.scoreRows ?? Math.max(1, Math.min(SCORE_ROWS, rows - shared));
  const left = apart ? apart.rows : Math.max(0, rows - scoreRows);
  return { scoreRows, finalRows: options.finalRows ?? Math.min(FINAL_ROWS, left) };
}
