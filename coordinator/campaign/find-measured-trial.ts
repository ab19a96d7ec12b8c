import { CodedError } from '@fleetlora/shared/errors';
import type { MeasuredTrial } from './list-differences.js';
import { pickTrial } from './pick-trial.js';
import type { CampaignModels, CampaignRepository } from './ports.js';

/**
 * The trial that "SEARCH:TRIAL" names, each by id or name; a trial's name is its label or number,
 * "17" or "#17".
 * @throws BAD_REQUEST for another form, NOT_FOUND, STATE_CONFLICT when it was not measured
 */
export async function findMeasuredTrial(
  reference: string,
  repository: Pick<CampaignRepository, 'findSearch' | 'listTrials'>,
  models: Pick<CampaignModels, 'findAdapter'>,
): Promise<MeasuredTrial> {
  const [, searchName, wanted] = /^([^:]+):([^:]+)$/.exec(reference) ?? [];
  if (searchName === undefined || wanted === undefined)
    throw new CodedError(
      'BAD_REQUEST',
      `"${reference}" names no trial, wanted SEARCH:TRIAL such as intents-pi5:17`,
    );
  const search = await repository.findSearch(searchName);
  if (!search) throw new CodedError('NOT_FOUND', `there is no search "${searchName}"`);
  const trial = pickTrial(await repository.listTrials(search.id), wanted, search.name);
  const name = `${search.name}:${trial.number}`;
  const { measurement } = trial;
  if (measurement === null)
    throw new CodedError('STATE_CONFLICT', `trial ${name} is ${trial.state}, wanted one that was measured`);
  const { baseId } = await models.findAdapter(search.adapterId);
  return {
    name,
    trial: { ...trial, measurement },
    searchName: search.name,
    deviceClass: search.spec.deviceClass,
    baseId,
  };
}
