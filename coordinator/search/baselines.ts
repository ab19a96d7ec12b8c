import {
  anchorGenome,
  encodeGenome,
  type Form,
  forms,
  type Genome,
  type SearchSpace,
} from '@fleetlora/shared/space';

export const baselineLabels = ['max', 'maxMerged', 'middle', 'min'] as const;
export type BaselineLabel = (typeof baselineLabels)[number];
export interface Baseline {
  readonly label: BaselineLabel;
  readonly genome: Genome;
}

/**
 * The points every result is compared with, in the order they are asked for: the full network
 * unmerged and merged, the middle and the smallest choice of everything, as far as the space has
 * them. Middle and min take the first form of the space, which is unmerged where both are there.
 * A space that is so small that two fall together keeps the first.
 */
export function baselinesOf(space: SearchSpace): Baseline[] {
  const offered = forms.filter((form) => space.file.forms.includes(form));
  const first = offered[0] as Form;
  const wanted: Baseline[] = [
    ...offered.map(
      (form): Baseline => ({
        label: form === 'merged' ? 'maxMerged' : 'max',
        genome: anchorGenome(space, 'max', form),
      }),
    ),
    { label: 'middle', genome: anchorGenome(space, 'middle', first) },
    { label: 'min', genome: anchorGenome(space, 'min', first) },
  ];
  const seen = new Set<string>();
  return wanted.filter(({ genome }) => {
    const text = encodeGenome(genome);
    return seen.has(text) ? false : seen.add(text);
  });
}
