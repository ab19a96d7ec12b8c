import { CodedError } from '@fleetlora/shared/errors';
import { groupOf, type ModelShape } from '@fleetlora/shared/graph';
import {
  bindSearchSpace,
  type ModuleGroup,
  moduleGroups,
  parseSearchSpace,
  type SearchSpaceFile,
} from '@fleetlora/shared/space';
import type { AdapterFacts } from '@fleetlora/shared/weights';

/** Groups of which the super-adapter holds at least one module. */
function heldGroups(facts: AdapterFacts): Set<ModuleGroup> {
  return new Set(facts.modules.map((module) => groupOf[module]));
}

/**
 * The space of a super-adapter that came without one: an eighth, half and all of its rank for a
 * whole layer, FFN width 100, 75 and 50 % where these are whole channels.
 */
export function defaultSpace(facts: AdapterFacts, shape: Pick<ModelShape, 'ffnWidth'>): SearchSpaceFile {
  const held = heldGroups(facts);
  const leader = moduleGroups.find((group) => held.has(group)) ?? 'qkv';
  const choices = [...new Set([8, 2, 1].map((part) => Math.max(1, Math.round(facts.rankMax / part))))];
  const ranks = (group: ModuleGroup): number[] | ModuleGroup =>
    group === leader ? choices : held.has(group) ? leader : [0];
  return {
    version: 1,
    name: 'default',
    description: 'One rank for a whole layer, an eighth, half or all of the rank, and FFN width',
    rankMax: facts.rankMax,
    alpha: facts.alpha,
    ranks: { qkv: ranks('qkv'), o: ranks('o'), gateUp: ranks('gateUp'), down: ranks('down') },
    widthPercents: [100, 75, 50].filter((percent) => (shape.ffnWidth * percent) % 100 === 0),
    forms: facts.masked === undefined ? ['unmerged', 'merged'] : ['merged'],
  };
}

/**
 * Makes sure that every genome of a space can be cut from a super-adapter.
 * @throws SPACE_INVALID naming the value of the space and the one of the adapter
 */
export function checkSpace(
  value: unknown,
  facts: AdapterFacts,
  shape: Pick<ModelShape, 'layers' | 'ffnWidth' | 'kvHeads'>,
): SearchSpaceFile {
  const space = parseSearchSpace(value);
  refuseUnmerged(space, facts);
  if (space.rankMax !== facts.rankMax)
    throw new CodedError(
      'SPACE_INVALID',
      `search space has rankMax ${space.rankMax}, the adapter ${facts.rankMax}`,
    );
  if (Math.abs(space.alpha - facts.alpha) > 1e-6 * facts.alpha)
    throw new CodedError(
      'SPACE_INVALID',
      `search space has alpha ${space.alpha}, the adapter ${facts.alpha}`,
    );
  const held = heldGroups(facts);
  for (const group of moduleGroups) {
    const listed = space.ranks[group];
    const choices = typeof listed === 'string' ? space.ranks[listed] : listed;
    if (!held.has(group) && Array.isArray(choices) && Math.max(...choices) > 0)
      throw new CodedError(
        'SPACE_INVALID',
        `search space offers ranks ${choices.join(', ')} for ${group}, the adapter holds no such module`,
      );
  }
  const { layers: layerCount, ffnWidth, kvHeads } = shape;
  bindSearchSpace(space, { layerCount, ffnWidth, kvHeads });
  return space;
}

/**
 * A masked adapter has merged candidates alone: factors beside the weights are not masked.
 * @throws SPACE_INVALID
 */
export function refuseUnmerged(
  { forms }: Pick<SearchSpaceFile, 'forms'>,
  { masked }: Pick<AdapterFacts, 'masked'>,
): void {
  if (masked !== undefined && forms.includes('unmerged'))
    throw new CodedError(
      'SPACE_INVALID',
      `search space offers the forms ${forms.join(', ')}, an adapter masked by the zeros of its base has merged alone`,
    );
}
