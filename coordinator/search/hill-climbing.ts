import { anchorGenome, encodeGenome } from '@fleetlora/shared/space';
import { compareVectors } from './pareto.js';
import type { Indices, Individual, Proposer, SearchView } from './strategy.js';
import { neighboursOf } from './variation.js';

/**
 * Hill climbing from the middle: the neighbours of the current point, one gene by one step, in
 * random order, and a step to the first that is better. Better means a better quality, which is
 * the first objective; the costs, in their order, decide between equal ones. On a peak, that is
 * once every neighbour was proposed and none is better, it goes on around the best point that has
 * unknown neighbours. Nothing looks for a front on purpose: this is the cheap search for one good
 * candidate near the middle's cost.
 * @source Shears (arXiv 2404.10934), section 3.3: hill climbing from the heuristic configuration
 */
export function createHillClimbing(): Proposer {
  let centre: Indices | null = null;
  return {
    learn: () => {},
    propose(view) {
      centre = climb(centre ?? view.space.toIndices(anchorGenome(view.space, 'middle')), view);
      const near = unknownNeighbour(centre, view);
      if (near) return near;
      for (const { indices } of bestFirst(view.individuals)) {
        const other = unknownNeighbour(indices, view);
        if (other) {
          centre = indices;
          return other;
        }
      }
      return null;
    },
  };
}

/** The peak that steps to better known neighbours, the best one first, lead to. */
function climb(start: Indices, view: SearchView): Indices {
  // By their genomes: indices of layers that are left out may differ without saying anything.
  const textOf = (indices: Indices): string => encodeGenome(view.space.toGenome(indices));
  const told = new Map(view.individuals.map((individual) => [textOf(individual.indices), individual]));
  let centre = start;
  for (;;) {
    const here = told.get(textOf(centre));
    const [best] = bestFirst(
      neighboursOf(centre, view.space).flatMap((indices) => told.get(textOf(indices)) ?? []),
    );
    // A point without figures, still measured or infeasible, is left for any that has some.
    if (!best || (here && compareVectors(best.vector, here.vector) >= 0)) return centre;
    centre = best.indices;
  }
}

function unknownNeighbour(indices: Indices, view: SearchView): Indices | undefined {
  return view.random.shuffle(neighboursOf(indices, view.space)).find((candidate) => !view.isKnown(candidate));
}

/** By quality, then by the costs; the older of equals first. */
const bestFirst = (individuals: readonly Individual[]): Individual[] =>
  [...individuals].sort((a, b) => compareVectors(a.vector, b.vector));
