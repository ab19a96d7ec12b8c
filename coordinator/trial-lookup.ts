import { CodedError } from '@fleetlora/shared/errors';
import type { Campaign } from './campaign/index.js';
import type { TrialLookup } from './models/index.js';

/** Finds the trial a release is made of, through the campaign's public view. */
export function createTrialLookup(campaign: Pick<Campaign, 'show' | 'trials' | 'front'>): TrialLookup {
  return {
    async findTrial(searchName, wanted) {
      const search = await campaign.show(searchName);
      const trials = await campaign.trials(search.id);
      if (wanted !== undefined) {
        // An id or a label is meant before a number.
        const trial =
          trials.find(({ id, label }) => id === wanted || label === wanted) ??
          trials.find(({ number }) => String(number) === wanted.replace(/^#/, ''));
        if (trial === undefined)
          throw new CodedError(
            'NOT_FOUND',
            `search "${search.name}" has no trial with id, label or number "${wanted}"`,
          );
        return { search, trial };
      }
      const { chosenTrialId, chosenReason } = await campaign.front(search.id);
      const trial = trials.find(({ id }) => id === chosenTrialId);
      if (trial === undefined)
        throw new CodedError(
          'STATE_CONFLICT',
          `search "${search.name}" has chosen no trial yet: ${chosenReason}`,
        );
      return { search, trial };
    },
  };
}
