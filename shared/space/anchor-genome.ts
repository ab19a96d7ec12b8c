import type { Random } from '../random.js';
import type { Form, Genome } from './genome.js';
import type { SearchSpace } from './search-space.js';

/** A uniformly random genome. */
export function sampleGenome(space: SearchSpace, random: Random): Genome {
  return space.toGenome(space.genes.map((gene) => random.below(gene.choices.length)));
}

/**
 * The fixed points every search starts from: the largest, the middle and the smallest choice of
 * every ordinal gene; the smallest leaves out every layer that it may. "Middle" of n choices is
 * index floor((n - 1) / 2) counted from the largest, as the LoNAS and Shears code takes it (their
 * lists run from largest to smallest).
 */
export function anchorGenome(space: SearchSpace, anchor: 'max' | 'middle' | 'min', form?: Form): Genome {
  const genome = space.toGenome(
    space.genes.map((gene) => {
      const last = gene.choices.length - 1;
      if (gene.order === 'categorical') return 0;
      return anchor === 'max' ? last : anchor === 'min' ? 0 : last - Math.floor(last / 2);
    }),
  );
  if (form === undefined) return genome;
  // Merged candidates exist in fp32 alone.
  const { precision, ...rest } = genome;
  return form === 'merged' || precision === undefined ? { ...rest, form } : { ...rest, precision, form };
}
