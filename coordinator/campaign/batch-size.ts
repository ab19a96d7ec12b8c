import type { SearchStart } from '@fleetlora/shared/protocol';
import type { SearchSpace } from '@fleetlora/shared/space';

/** Enough to spread the cost of a shared session, few enough that a proposal knows most results. */
const RANKS_ALONE = 4;

/**
 * Candidates of one shape that a device compares in one job of the search: what it asks for, else 4
 * in a space whose unmerged candidates differ in ranks alone, else 1. Where widths differ too,
 * hardly two candidates share a shape.
 */
export function batchSizeOf({ batch }: Pick<SearchStart, 'batch'>, { file, genes }: SearchSpace): number {
  if (batch !== undefined) return batch;
  const varies = (what: 'rank' | 'width'): boolean => genes.some(({ name }) => name.endsWith(`.${what}`));
  return file.forms.includes('unmerged') && varies('rank') && !varies('width') ? RANKS_ALONE : 1;
}
