import { CodedError } from '@fleetlora/shared/errors';
import { type Campaign, pickTrial } from './campaign/index.js';
import type { TrialLookup } from './models/index.js';

/** Finds the trial a release is made of, through the campaign's public view. */
export function createTrialLookup(campaign: Pick<Campaign, 'show' | 'trials' | 'front'>): TrialLookup {
  return {
    async findTrial(searchName, wanted) {
      const search = await campaign.show(searchName);
      const trials = await campaign.trials(search.id);
      if (wanted !== undefined) return { search, trial: pickTrial(trials, wanted, search.name) };
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
