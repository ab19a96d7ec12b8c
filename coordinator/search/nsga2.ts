import { crowdingDistances, nonDominatedSort } from './pareto.js';
import type { Individual, Proposer, SearchView } from './strategy.js';
import { crossOver, mutate, neighboursOf } from './variation.js';

/** LoNAS's settings (LREC-COLING 2024 main 940, and its code). */
const POPULATION = 8;
const CROSSOVER = { probability: 0.9, eta: 10 };
const MUTATION = { probability: 0.02, eta: 3 };
/** Matings that gave nothing new before a neighbour of a parent is taken. */
const MATINGS = 2;

interface Ranked extends Individual {
  readonly rank: number;
  readonly crowding: number;
}

/**
 * NSGA-II in steady state: each measured candidate joins the population at once and the worst of
 * nine leaves. The first eight proposals are the baselines and random candidates.
 * @source Deb et al., IEEE Trans. Evol. Comput. 6 (2002); steady state as in Durillo et al., EMO 2009
 */
export function createNsga2(): Proposer {
  let population: Ranked[] = [];
  return {
    learn(individual) {
      population = rank([...population, individual]).slice(0, POPULATION);
    },
    propose(view) {
      if (view.proposed < POPULATION || population.length < 2) return null;
      let parents = selectParents(population, view);
      for (let mating = 0; mating < MATINGS; mating++) {
        const children = crossOver(
          parents[0].indices,
          parents[1].indices,
          view.space,
          view.random,
          CROSSOVER,
        );
        for (const child of children) {
          const candidate = mutate(child, view.space, view.random, MUTATION);
          if (!view.isKnown(candidate)) return candidate;
        }
        parents = selectParents(population, view);
      }
      const near = view.random
        .shuffle(neighboursOf(parents[0].indices, view.space))
        .find((candidate) => !view.isKnown(candidate));
      return near ?? null;
    },
  };
}

/** Best first: by front, then the least crowded, then the older. */
function rank(individuals: readonly Individual[]): Ranked[] {
  return nonDominatedSort(individuals.map(({ vector }) => vector)).flatMap((front, level) => {
    const distances = crowdingDistances(front.map((index) => individuals[index]?.vector ?? []));
    return front
      .map(
        (index, place): Ranked => ({
          ...(individuals[index] as Individual),
          rank: level,
          crowding: distances[place] as number,
        }),
      )
      .sort((a, b) => descending(a.crowding, b.crowding));
  });
}

/** Two winners of binary tournaments, different where the population allows it. */
function selectParents(population: readonly Ranked[], view: SearchView): [Ranked, Ranked] {
  const winner = (): Ranked => {
    const a = view.random.pick(population);
    const b = view.random.pick(population);
    return (a.rank - b.rank || descending(a.crowding, b.crowding)) <= 0 ? a : b;
  };
  const first = winner();
  let second = winner();
  for (let retry = 0; second === first && retry < population.length; retry++) second = winner();
  return [first, second];
}

/** Infinity minus Infinity is not a number: ends are equal. */
const descending = (a: number, b: number): number => (a === b ? 0 : b - a);
