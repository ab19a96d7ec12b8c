import { CodedError } from '@fleetlora/shared/errors';
import type { Trial } from '@fleetlora/shared/protocol';

/**
 * The trial of a search that a person means by its id, label or number, "17" or "#17".
 * @throws NOT_FOUND
 */
export function pickTrial<T extends Pick<Trial, 'id' | 'label' | 'number'>>(
  trials: readonly T[],
  wanted: string,
  searchName: string,
): T {
  // An id or a label is meant before a number.
  const trial =
    trials.find(({ id, label }) => id === wanted || label === wanted) ??
    trials.find(({ number }) => String(number) === wanted.replace(/^#/, ''));
  if (trial === undefined)
    throw new CodedError(
      'NOT_FOUND',
      `search "${searchName}" has no trial with id, label or number "${wanted}"`,
    );
  return trial;
}
