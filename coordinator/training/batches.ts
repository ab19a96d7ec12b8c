import type { Random } from '@fleetlora/shared/random';
import type { TokenRow } from '@fleetlora/shared/text';

/** Rows that one graph run takes, padded to the longest. */
export interface MicroBatch {
  readonly rows: readonly TokenRow[];
  readonly length: number;
}

/**
 * Endless batches of row numbers, each epoch in its own order. The order of an epoch depends on
 * `random` at its start only, so a checkpoint needs no more than the numbers still to come.
 */
export class BatchOrder {
  constructor(
    private readonly rowCount: number,
    private readonly random: Random,
    private pending: number[] = [],
  ) {}

  next(count: number): number[] {
    const batch: number[] = [];
    while (batch.length < count) {
      if (this.pending.length === 0)
        this.pending = this.random.shuffle(Array.from({ length: this.rowCount }, (_, row) => row));
      batch.push(...this.pending.splice(0, count - batch.length));
    }
    return batch;
  }

  /** Row numbers left in this epoch, for a checkpoint. */
  remaining(): readonly number[] {
    return this.pending;
  }
}

/** Rows sorted by length and cut so that rows × longest stays within `tokenBudget`. */
export function packMicroBatches(rows: readonly TokenRow[], tokenBudget: number): MicroBatch[] {
  const sorted = [...rows].sort((a, b) => b.ids.length - a.ids.length);
  const batches: MicroBatch[] = [];
  for (let from = 0; from < sorted.length; ) {
    const length = sorted[from]?.ids.length ?? 1;
    const count = Math.max(1, Math.floor(tokenBudget / length));
    batches.push({ rows: sorted.slice(from, from + count), length });
    from += count;
  }
  return batches;
}
