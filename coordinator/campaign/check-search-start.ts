import { CodedError } from '@fleetlora/shared/errors';
import {
  type Adapter,
  type Base,
  type Dataset,
  quantiseCommand,
  type SearchStart,
} from '@fleetlora/shared/protocol';
import {
  bindSearchSpace,
  decodeGenome,
  offeredPrecisions,
  parseSearchSpace,
  precisions,
  type SearchSpace,
  type SearchSpaceFile,
  spaceModelOf,
} from '@fleetlora/shared/space';
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
  requirePrecisions(file, base);
  requireMasking(file, adapter);
  const space = bindSearchSpace(file, spaceModelOf(base));
  for (const text of spec.require) parseConstraint(text);
  if (new Set(spec.costs).size < spec.costs.length)
    throw new CodedError('BAD_REQUEST', `costs are ${spec.costs.join(', ')}, wanted each at most once`);
  checkMeasurePlan(spec, space, baseTimeoutMs);
  requireSearchRows(chooseSearchRows(models, dataset, spec), dataset, spec);
  return { adapter, dataset, space };
}

/** @throws SPACE_INVALID for a precision that the base has no weight file in, naming the command that makes it */
function requirePrecisions(space: SearchSpaceFile, { name, files }: Base): void {
  const wanted =
    space.candidate === undefined
      ? offeredPrecisions(space)
      : [decodeGenome(space.candidate).precision ?? 'fp32'];
  const missing = wanted.find((one) => files[one] === undefined);
  if (missing === undefined) return;
  const there = precisions.filter((one) => files[one] !== undefined);
  throw new CodedError(
    'SPACE_INVALID',
    `search space: it offers precision ${missing}, base "${name}" has weight files in ${there.join(', ')}; to make it: ${quantiseCommand(name, missing)}`,
  );
}

/**
 * A masked adapter's candidates are computed with once they are merged, into floats as far as searches go.
 * @throws SPACE_INVALID naming the forms, BAD_REQUEST naming the precision
 */
function requireMasking({ forms }: SearchSpaceFile, { name, masked }: Adapter): void {
  if (masked === undefined) return;
  if (masked !== 'fp32')
    throw new CodedError(
      'BAD_REQUEST',
      `adapter "${name}" was trained for the numbers of its base in ${masked}, a search wants one for floats: merge a candidate of it, and evaluate the base that this makes`,
    );
  if (forms.includes('unmerged'))
    throw new CodedError(
      'SPACE_INVALID',
      `search space: forms offers ${forms.join(', ')}, adapter "${name}" is masked by the zeros of its base and has merged candidates alone`,
    );
}
