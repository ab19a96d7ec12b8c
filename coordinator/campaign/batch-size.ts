import type { SearchStart } from '@fleetlora/shared/protocol';
import type { SearchSpace } from '@fleetlora/shared/space';

/** Enough to spread the cost of a shared session, few enough that a proposal knows most results. */
const RANKS_ALONE = 4;

/**
 * Candidates of one shape that a device compares in one job of the search: what it asks for, else 4
 * in a space whose unmerged candidates differ in ranks alone, else 1. Where widths or other axes
 * differ too, hardly two candidates share a shape.
 */
export function batchSizeOf({ batch }: Pick<SearchStart, 'batch'>, { file, genes }: SearchSpace): number {
  if (batch !== undefined) return batch;
  const isRank = (name: string): boolean => name.endsWith('.rank');
  const others = genes.filter(({ name }) => !isRank(name) && name !== 'form');
  const ranksVary = genes.some(({ name }) => isRank(name));
  return file.forms.includes('unmerged') && ranksVary && others.length === 0 ? RANKS_ALONE : 1;
}
