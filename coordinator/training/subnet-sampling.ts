import type { Random } from '@fleetlora/shared/random';
import { anchorGenome, type Genome, sampleGenome, type SearchSpace } from '@fleetlora/shared/space';

/** `uniform`: random sub-networks only. `sandwich`: the largest and the smallest as well. */
export type SamplingStrategy = 'uniform' | 'sandwich';

/**
 * The sub-networks one optimiser step trains, drawn once a step and handed to every micro-batch.
 * @source LoNAS (uniform, one a micro-batch); Yu & Huang, Universally Slimmable Networks (sandwich)
 */
export function sampleSubnets(
  space: SearchSpace,
  strategy: SamplingStrategy,
  randomSubnets: number,
  random: Random,
): Genome[] {
  const drawn = Array.from({ length: randomSubnets }, () => sampleGenome(space, random));
  if (strategy === 'uniform') return drawn;
  return [anchorGenome(space, 'max'), anchorGenome(space, 'min'), ...drawn];
}
