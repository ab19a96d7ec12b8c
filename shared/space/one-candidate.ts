import { CodedError } from '../errors.js';
import { decodeGenome, encodeGenome, type Genome, type ModuleGroup, moduleGroups } from './genome.js';
import type { SearchSpace } from './search-space.js';
import type { SpaceModel } from './space-choices.js';
import type { SearchSpaceFile } from './space-file.js';

/**
 * The space that a super-adapter cut down to one candidate has: that candidate alone. Its rankMax is
 * the candidate's largest rank, and alpha shrinks with it, so that the scale alpha / rankMax, which
 * every rank of the super-adapter was trained with, stays.
 * @throws BAD_REQUEST for a candidate without any rank: it has no adapter
 * @source LoNAS, Shears and SQFT scale every rank by alpha over the largest one
 */
export function oneCandidateSpace(
  source: Pick<SearchSpaceFile, 'name' | 'rankMax' | 'alpha'>,
  genome: Genome,
): SearchSpaceFile {
  const largest = (group: ModuleGroup): number => Math.max(...genome.layers.map(({ ranks }) => ranks[group]));
  const rankMax = Math.max(...moduleGroups.map(largest));
  if (rankMax === 0)
    throw new CodedError('BAD_REQUEST', 'the candidate has rank 0 everywhere, wanted one with an adapter');
  return {
    version: 1,
    name: source.name,
    description: `One candidate of ${source.name}`,
    rankMax,
    alpha: (source.alpha * rankMax) / source.rankMax,
    ranks: { qkv: [largest('qkv')], o: [largest('o')], gateUp: [largest('gateUp')], down: [largest('down')] },
    widthPercents: [100],
    forms: [genome.form],
    ...(genome.precision && { precisions: [genome.precision] }),
    candidate: encodeGenome(genome),
  };
}

/**
 * A space file with `candidate` bound to a model: no genes, one genome.
 * @throws GENOME_MALFORMED, SPACE_INVALID when the candidate does not fit the model or the file's ranks
 */
export function bindOneCandidate(
  file: SearchSpaceFile & { readonly candidate: string },
  { kvHeads: allHeads, ...model }: SpaceModel,
): SearchSpace {
  const genome = decodeGenome(file.candidate);
  const invalid = (found: string): CodedError =>
    new CodedError('SPACE_INVALID', `search space: its candidate ${found}`);
  if (genome.layers.length !== model.layerCount)
    throw invalid(`has ${genome.layers.length} layers, the model ${model.layerCount}`);
  genome.layers.forEach(({ ranks, width, kvHeads = 1 }, layer) => {
    if (width > model.ffnWidth)
      throw invalid(`has width ${width} in layer ${layer}, the model ${model.ffnWidth}`);
    if (allHeads !== undefined && kvHeads > allHeads)
      throw invalid(`has ${kvHeads} key/value heads in layer ${layer}, the model ${allHeads}`);
    const group = moduleGroups.find((one) => ranks[one] > file.rankMax);
    if (group)
      throw invalid(`has rank ${ranks[group]} for ${group} in layer ${layer}, above ${file.rankMax}`);
  });
  return {
    file,
    ...model,
    genes: [],
    size: 1,
    toGenome: () => genome,
    toIndices(found) {
      if (encodeGenome(found) !== file.candidate)
        throw new CodedError(
          'GENOME_OUTSIDE_SPACE',
          `genome is ${encodeGenome(found)}, the space holds ${file.candidate} alone`,
        );
      return [];
    },
  };
}
