import { CodedError } from '../errors.js';
import { type Form, forms, type ModuleGroup, moduleGroups, type Precision } from './genome.js';
import { offeredPrecisions, type SearchSpaceFile } from './space-file.js';

/** Sizes of a model that a space is bound to. */
export interface SpaceModel {
  readonly layerCount: number;
  readonly ffnWidth: number;
  /** Only needed for spaces that choose among them. */
  readonly kvHeads?: number | undefined;
}

/** The sizes that a space needs of a model, of its shape or of its record in the catalog. */
export function spaceModelOf(model: {
  readonly layers: number;
  readonly ffnWidth: number;
  /** Null where the record is of before they were noted. */
  readonly kvHeads: number | null;
}): SpaceModel {
  const { layers, ffnWidth, kvHeads } = model;
  return { layerCount: layers, ffnWidth, kvHeads: kvHeads ?? undefined };
}

/** What the candidates of a space choose among, once it is bound to a model; numbers ascend. */
export interface SpaceChoices {
  readonly layerCount: number;
  /** Layers whose ranks, widths and heads are chosen; all others keep the largest. */
  readonly elastic: readonly number[];
  readonly skippable: readonly number[];
  /** Of the group whose choice a group follows, too. */
  readonly ranks: Readonly<Record<ModuleGroup, readonly number[]>>;
  /** The group whose choice each follows: itself, where it has its own. */
  readonly leaders: Readonly<Record<ModuleGroup, ModuleGroup>>;
  readonly widths: readonly number[];
  readonly heads: readonly number[];
  /** Key/value heads of the model; 0 where they are not known. */
  readonly allHeads: number;
  /** From the smallest numbers to the largest. */
  readonly precisions: readonly Precision[];
  readonly forms: readonly Form[];
}

const ascending = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
const invalid = (found: string): CodedError => new CodedError('SPACE_INVALID', `search space: ${found}`);

/** @throws SPACE_INVALID as bindSearchSpace */
export function resolveChoices(file: SearchSpaceFile, model: SpaceModel): SpaceChoices {
  const { layerCount } = model;
  const precisions = offeredPrecisions(file);
  const widths = resolveWidths(file, model, precisions[0] ?? 'fp32');
  const heads = resolveHeads(file, model);
  const skippable = ascending(skippableLayers(file, layerCount));
  if (skippable.length >= layerCount && skippable.length > 0)
    throw invalid(`skippable names ${skippable.length} layers of ${layerCount}, at least one must stay`);
  const elastic = ascending(file.layers ?? Array.from({ length: layerCount }, (_, layer) => layer));
  const outside = [...elastic, ...skippable].find((layer) => layer >= layerCount);
  if (outside !== undefined)
    throw invalid(`layer ${outside} is named, the model has layers 0 to ${layerCount - 1}`);
  const leaderOf = (group: ModuleGroup): ModuleGroup => {
    const choices = file.ranks[group];
    return typeof choices === 'string' ? choices : group;
  };
  return {
    layerCount,
    elastic,
    skippable,
    ranks: byGroup((group) => ascending(file.ranks[leaderOf(group)] as number[])),
    leaders: byGroup(leaderOf),
    widths,
    heads,
    allHeads: model.kvHeads ?? 0,
    precisions,
    forms: forms.filter((form) => file.forms.includes(form)),
  };
}

const byGroup = <T>(make: (group: ModuleGroup) => T): Record<ModuleGroup, T> =>
  Object.fromEntries(moduleGroups.map((group) => [group, make(group)])) as Record<ModuleGroup, T>;

/** FFN channels that share a scale in a quantised base: it can be cut between them. */
const QUANTISED_CHANNELS = 32;

/** @param smallest precision */
function resolveWidths(
  { widthPercents }: SearchSpaceFile,
  { ffnWidth }: SpaceModel,
  smallest: Precision,
): number[] {
  const widths = ascending(
    widthPercents.map((percent) => {
      const width = (ffnWidth * percent) / 100;
      if (!Number.isInteger(width))
        throw invalid(`${percent} % of ${ffnWidth} FFN channels is ${width}, not a whole number`);
      return width;
    }),
  );
  const unfit = smallest === 'fp32' ? undefined : widths.find((width) => width % QUANTISED_CHANNELS !== 0);
  if (unfit !== undefined)
    throw invalid(
      `${unfit} of ${ffnWidth} FFN channels, precision ${smallest} is cut in multiples of ${QUANTISED_CHANNELS}`,
    );
  return widths;
}

/** Half of an odd number of heads is the larger part. */
function resolveHeads({ kvHeads }: SearchSpaceFile, model: SpaceModel): number[] {
  const all = model.kvHeads ?? 0;
  const heads = ascending(kvHeads === 'half' ? [all, Math.ceil(all / 2)] : (kvHeads ?? [all]));
  const largest = Math.max(...heads);
  if (kvHeads && (all === 0 || largest > all))
    throw invalid(
      `kvHeads offers ${kvHeads === 'half' ? 'half' : largest}, the model has ${model.kvHeads ?? 'no known number of'} key/value heads`,
    );
  return heads;
}

/**
 * Layers that may be left out.
 * @source Fan et al., Reducing Transformer Depth on Demand with Structured Dropout, arXiv 1909.11556:
 *   leaving out every other layer
 */
function skippableLayers({ skippable }: SearchSpaceFile, layerCount: number): readonly number[] {
  if (skippable !== 'alternate') return skippable ?? [];
  return Array.from({ length: layerCount }, (_, layer) => layer).filter(
    (layer) => layer % 2 === 1 && layer < layerCount - 1,
  );
}
