import { CodedError } from '@fleetlora/shared/errors';
import type { Adapter, Dataset, SearchStart } from '@fleetlora/shared/protocol';
import { bindSearchSpace, parseSearchSpace, type SearchSpace } from '@fleetlora/shared/space';
import { parseConstraint } from '../search/index.js';
import { checkMeasurePlan } from './check-measure-plan.js';
import type { CampaignModels } from './ports.js';
import { chooseSearchRows, requireSearchRows } from './search-rows.js';

/**
 * Resolves what a search names and checks that the parts fit.
 * @param baseTimeoutMs of a job of one candidate
 * @throws NOT_FOUND, BAD_REQUEST, SPACE_INVALID
 */
export async function checkSearchStart(
  spec: SearchStart,
  models: CampaignModels,
  baseTimeoutMs: number,
): Promise<{ adapter: Adapter; dataset: Dataset; space: SearchSpace }> {
  const adapter = await models.findAdapter(spec.adapter);
  const base = await models.findBase(adapter.baseId);
  const dataset = await models.findDataset(spec.dataset);
  const file = parseSearchSpace(spec.space ?? adapter.space);
  for (const size of ['rankMax', 'alpha'] as const) {
    if (file[size] !== adapter[size])
      throw new CodedError(
        'SPACE_INVALID',
        `search space: ${size} is ${file[size]}, adapter "${adapter.name}" was trained with ${adapter[size]}`,
      );
  }
  const space = bindSearchSpace(file, { layerCount: base.layers, ffnWidth: base.ffnWidth });
  for (const text of spec.require) parseConstraint(text);
  if (new Set(spec.costs).size < spec.costs.length)
    throw new CodedError('BAD_REQUEST', `costs are ${spec.costs.join(', ')}, wanted each at most once`);
  checkMeasurePlan(spec, space, baseTimeoutMs);
  requireSearchRows(chooseSearchRows(models, dataset, spec), dataset, spec);
  return { adapter, dataset, space };
}
