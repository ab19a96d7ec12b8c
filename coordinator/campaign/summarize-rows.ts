import type { Score } from '@fleetlora/shared/protocol';
import { wilsonInterval } from '@fleetlora/shared/statistics';
import type { RowScore } from '../evaluation/index.js';

/**
 * Sums up at least one row: accuracy in percent with its interval, loss in nats a target token, and
 * of rows with answers how many of these were cut.
 */
export function summarizeRows(rows: readonly RowScore[]): Score {
  const correct = rows.filter((row) => row.correct).length;
  const targets = rows.reduce((sum, row) => sum + row.targets, 0);
  const nll = rows.reduce((sum, row) => sum + row.nll, 0);
  const { low, high } = wilsonInterval(correct, rows.length);
  return {
    rows: rows.length,
    correct,
    accuracy: (100 * correct) / rows.length,
    accuracyLow: 100 * low,
    accuracyHigh: 100 * high,
    loss: nll / targets,
    ...(rows.some((row) => row.cut !== undefined) && { answersCut: rows.filter((row) => row.cut).length }),
  };
}
