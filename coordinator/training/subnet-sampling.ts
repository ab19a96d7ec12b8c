import { CodedError } from '@fleetlora/shared/errors';
import type { TrainingOptions } from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import {
  anchorGenome,
  type Gene,
  type Genome,
  type SearchSpace,
  sampleGenome,
} from '@fleetlora/shared/space';

/**
 * `uniform`: random sub-networks only. `sandwich`: the largest, the smallest and random ones, where
 * the smallest is in turn the shallowest and, of a space that leaves layers out, the thinnest with all
 * of them. `rotation`: the largest, and one that takes turns: the largest at the smallest width, with
 * the fewest heads, and with the fewest layers, as far as the space has them, the smallest, the
 * thinnest, random, random.
 */
export type SamplingStrategy = TrainingOptions['sampling'];

/**
 * The sub-networks one optimiser step trains, drawn once a step and handed to every micro-batch.
 * The rotation costs two sub-networks a step instead of three or four: at equal compute it makes
 * more updates, which is worth more in short runs (figures: deploy/demo/adapter/README.md).
 *
 * Every choice of every axis is trained sooner or later, and both ends of each without chance: what a
 * layer chooses says nothing where it is left out, so that the smallest network alone would leave the
 * small choices of such layers to chance.
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
  const thin = hasAxis(space, isDepth) ? [extreme(space, 'min', isDepth)] : [];
  switch (options.sampling) {
    case 'uniform':
      return Array.from({ length: Math.max(1, options.randomSubnets) }, draw);
    case 'sandwich': {
      const smallest = [min, ...thin];
      return [
        max,
        smallest[step % smallest.length] ?? min,
        ...Array.from({ length: options.randomSubnets }, draw),
      ];
    }
    case 'rotation': {
      const cut = [isWidth, isHeads, isDepth].filter((axis) => hasAxis(space, axis));
      const fixed = [...cut.map((axis) => extreme(space, 'max', axis)), min, ...thin];
      const turns = [...fixed.map((genome) => () => genome), draw, draw];
      return [max, (turns[step % turns.length] ?? draw)()];
    }
  }
}

type Axis = (gene: Gene) => boolean;
const isWidth: Axis = ({ name }) => name.endsWith('.width');
const isHeads: Axis = ({ name }) => name.endsWith('.kvHeads');
const isDepth: Axis = ({ name }) => name.endsWith('.kept');

const hasAxis = (space: SearchSpace, axis: Axis): boolean => space.genes.some(axis);

/** The largest or smallest network with one axis at its other end. */
function extreme(space: SearchSpace, anchor: 'max' | 'min', turned: Axis): Genome {
  return space.toGenome(
    space.genes.map((gene) => {
      if (gene.order === 'categorical') return 0;
      return turned(gene) === (anchor === 'max') ? 0 : gene.choices.length - 1;
    }),
  );
}

/** @throws BAD_REQUEST when sub-networks shall learn from the largest and it is not trained */
export function requireTeacher({
  distil,
  sampling,
}: Pick<TrainingOptions, 'sampling'> & Partial<Pick<TrainingOptions, 'distil'>>): void {
  if (distil !== undefined && sampling === 'uniform')
    throw new CodedError(
      'BAD_REQUEST',
      'distillation with sampling uniform has no largest sub-network to learn from, wanted sandwich or rotation',
    );
}
