import type { LayerElasticity, ModelShape } from '@fleetlora/shared/graph';
import { anchorGenome, type SearchSpace } from '@fleetlora/shared/space';

/**
 * Which sizes of each layer a training has to cut. Ranks always are; a width or a number of heads
 * that every sub-network has whole is not, and costs nothing then. A layer that may be left out is
 * cut to the smallest of everything meanwhile, so that it costs next to nothing.
 */
export function elasticityOf(
  space: SearchSpace,
  shape: Pick<ModelShape, 'ffnWidth'>,
): readonly LayerElasticity[] {
  const ends = [anchorGenome(space, 'max'), anchorGenome(space, 'min')];
  return Array.from({ length: space.layerCount }, (_, layer) => {
    const genes = ends.flatMap((genome) => genome.layers[layer] ?? []);
    const skip = genes.some(({ skipped }) => skipped === true);
    return {
      width: skip || genes.some(({ width }) => width < shape.ffnWidth),
      kvHeads: skip || genes.some(({ kvHeads }) => kvHeads !== undefined),
      skip,
    };
  });
}
