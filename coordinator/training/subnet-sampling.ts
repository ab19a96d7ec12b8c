import type { TrainingOptions } from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import { anchorGenome, type Genome, type SearchSpace, sampleGenome } from '@fleetlora/shared/space';

/**
 * `uniform`: random sub-networks only. `sandwich`: the largest, the smallest and random ones.
 * `rotation`: the largest, and one that takes turns: every rank at the smallest width, the
 * smallest, random, random.
 */
export type SamplingStrategy = TrainingOptions['sampling'];

/**
 * The sub-networks one optimiser step trains, drawn once a step and handed to every micro-batch.
 * The rotation costs two sub-networks a step instead of three or four: at equal compute it makes
 * more updates, which is worth more in short runs (figures: deploy/demo/adapter/README.md).
 * @source LoNAS (uniform, one a micro-batch); Yu & Huang, Universally Slimmable Networks (sandwich)
 */
export function sampleSubnets(
  space: SearchSpace,
  options: Pick<TrainingOptions, 'sampling' | 'randomSubnets'>,
  step: number,
  random: Random,
): Genome[] {
  const draw = (): Genome => sampleGenome(space, random);
  const max = anchorGenome(space, 'max');
  const min = anchorGenome(space, 'min');
  switch (options.sampling) {
    case 'uniform':
      return Array.from({ length: Math.max(1, options.randomSubnets) }, draw);
    case 'sandwich':
      return [max, min, ...Array.from({ length: options.randomSubnets }, draw)];
    case 'rotation': {
      const narrow: Genome = {
        ...max,
        layers: max.layers.map((layer, index) => ({
          ...layer,
          width: min.layers[index]?.width ?? layer.width,
        })),
      };
      const turns = [() => narrow, () => min, draw, draw];
      return [max, (turns[step % turns.length] ?? draw)()];
    }
  }
}
