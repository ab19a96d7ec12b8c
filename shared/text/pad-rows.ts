import type { TokenRow } from './encode-row.js';

/** Rows as one right-padded batch, and what a model is asked of it. */
export interface PaddedRows {
  /** [rows, length] token ids; padding repeats token 0, comes last and predicts nothing. */
  readonly ids: BigInt64Array;
  /** Flattened position before each target, whose logits predict it; rows in order, distinct. */
  readonly positions: readonly number[];
  /** The target tokens, one a position. */
  readonly targets: readonly number[];
}

/**
 * Pads rows to `length` tokens. A row's first token is never a target: nothing stands before it.
 * @param length at least the longest row's
 */
export function padRows(rows: readonly TokenRow[], length: number): PaddedRows {
  const ids = new BigInt64Array(rows.length * length);
  const positions: number[] = [];
  const targets: number[] = [];
  rows.forEach((row, r) => {
    const first = firstTarget(row);
    row.ids.forEach((id, i) => {
      ids[r * length + i] = BigInt(id);
      if (i < first) return;
      positions.push(r * length + i - 1);
      targets.push(id);
    });
  });
  return { ids, positions, targets };
}

/** Number of tokens of a row that are predicted. */
export function targetCount(row: TokenRow): number {
  return Math.max(0, row.ids.length - firstTarget(row));
}

const firstTarget = (row: TokenRow): number => Math.max(1, row.targetStart);
