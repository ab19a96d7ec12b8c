import type { Random } from '@fleetlora/shared/random';
import type { SearchSpace } from '@fleetlora/shared/space';
import type { Indices, SearchView } from './strategy.js';

/** Uniform over the space. */
export function randomIndices(space: SearchSpace, random: Random): number[] {
  return space.genes.map((gene) => random.below(gene.choices.length));
}

/**
 * The first unknown candidate at or after `start`, counting through the space like an odometer.
 * Takes one step more than there are known candidates at most, and a few times that where choices
 * make no difference (`SearchSpace.genes`).
 */
export function unknownFrom(start: Indices, view: SearchView): Indices {
  const indices = [...start];
  while (view.isKnown(indices)) {
    for (let gene = 0; gene < indices.length; gene++) {
      const next = (indices[gene] as number) + 1;
      indices[gene] = next % (view.space.genes[gene]?.choices.length as number);
      if (indices[gene] !== 0) break;
    }
  }
  return indices;
}

/** All candidates one step away: one ordinal gene up or down, or another name for a categorical one. */
export function neighboursOf(indices: Indices, space: SearchSpace): number[][] {
  return space.genes.flatMap((gene, place) => {
    const current = indices[place] as number;
    const others =
      gene.order === 'ordinal'
        ? [current - 1, current + 1].filter((index) => index >= 0 && index < gene.choices.length)
        : gene.choices.map((_, index) => index).filter((index) => index !== current);
    return others.map((index) => indices.with(place, index));
  });
}

/**
 * Simulated binary crossover, bounded, per gene: both parents' values are drawn apart or together
 * by a factor whose spread `eta` sets, then rounded to choices.
 * @returns two children; a gene of names is swapped with probability 1/2 instead
 * @source Deb and Agrawal, Complex Systems 9 (1995); bounds as in Deb's NSGA-II code
 */
export function crossOver(
  first: Indices,
  second: Indices,
  space: SearchSpace,
  random: Random,
  { probability, eta }: { readonly probability: number; readonly eta: number },
): [number[], number[]] {
  const children: [number[], number[]] = [[...first], [...second]];
  if (random.next() >= probability) return children;
  space.genes.forEach((gene, place) => {
    // Each gene takes part with probability 1/2, or children would resemble no parent anywhere.
    if (random.next() >= 0.5) return;
    const a = first[place] as number;
    const b = second[place] as number;
    if (a === b) return;
    let values: [number, number] = [b, a];
    if (gene.order === 'ordinal') {
      const low = Math.min(a, b);
      const high = Math.max(a, b);
      const last = gene.choices.length - 1;
      const draw = random.next();
      const factor = (room: number): number => {
        const alpha = 2 - (1 + (2 * room) / (high - low)) ** -(eta + 1);
        return draw <= 1 / alpha
          ? (draw * alpha) ** (1 / (eta + 1))
          : (1 / (2 - draw * alpha)) ** (1 / (eta + 1));
      };
      values = [
        clampRound(0.5 * (low + high - factor(low + HALF) * (high - low)), last),
        clampRound(0.5 * (low + high + factor(last + HALF - high) * (high - low)), last),
      ];
      if (random.next() < 0.5) values.reverse();
    }
    children[0][place] = values[0];
    children[1][place] = values[1];
  });
  return children;
}

/**
 * Polynomial mutation, bounded: each gene changes with `probability`, near its value for a large
 * `eta`. A gene of names takes another name.
 * @source Deb and Goyal, Comp. Sci. and Informatics 26 (1996); bounds as in Deb's NSGA-II code
 */
export function mutate(
  indices: Indices,
  space: SearchSpace,
  random: Random,
  { probability, eta }: { readonly probability: number; readonly eta: number },
): number[] {
  return indices.map((current, place) => {
    const gene = space.genes[place];
    if (!gene || random.next() >= probability) return current;
    const last = gene.choices.length - 1;
    if (gene.order === 'categorical') return (current + 1 + random.below(last)) % (last + 1);
    // The range reaches half a step beyond the end choices, so that these are as wide as others.
    const range = last + 2 * HALF;
    const below = (current + HALF) / range;
    const draw = random.next();
    const power = 1 / (eta + 1);
    const shift =
      draw < 0.5
        ? (2 * draw + (1 - 2 * draw) * (1 - below) ** (eta + 1)) ** power - 1
        : 1 - (2 * (1 - draw) + 2 * (draw - 0.5) * below ** (eta + 1)) ** power;
    return clampRound(current + shift * range, last);
  });
}

const HALF = 0.5;
const clampRound = (value: number, last: number): number => Math.min(last, Math.max(0, Math.round(value)));
