import { CodedError } from '@fleetlora/shared/errors';
import type { Base } from '@fleetlora/shared/protocol';
import { bindSearchSpace, type Precision, type SearchSpaceFile, spaceModelOf } from '@fleetlora/shared/space';

/**
 * The space that an adapter has which is trained masked by the zeros of its base: its candidates are merged
 * ones, in the precision that it is trained for.
 * @throws BAD_REQUEST when the base has no zeros to speak of; SPACE_INVALID for widths that the numbers of the
 *   precision cannot be cut to
 */
export function maskedSpace(space: SearchSpaceFile, base: Base, precision: Precision): SearchSpaceFile {
  if (base.pruning === undefined)
    throw new CodedError(
      'BAD_REQUEST',
      `a masked training is on a sparse base, "${base.name}" was not pruned: fleetlora base prune makes one that is`,
    );
  const { precisions: _precisions, ...choices } = space;
  if (precision !== 'fp32')
    bindSearchSpace({ ...choices, forms: ['unmerged'], precisions: [precision] }, spaceModelOf(base));
  return { ...choices, forms: ['merged'] };
}
