import type { SearchSpace } from '@fleetlora/shared/space';
import { crowdingDistances, paretoFront } from './pareto.js';
import type { Indices, Individual, Proposer, SearchView } from './strategy.js';
import { neighboursOf } from './variation.js';

/**
 * What LoNAS and Shears do without an evolutionary search, made to go on: the middle (a baseline)
 * comes first, then uniform choices (the same relative rank, and the same relative size of the base,
 * everywhere) from the middle outwards, then hill climbing, one gene by one step, always around the
 * least crowded point of the front that still has unknown neighbours.
 * @source LoNAS (LREC-COLING 2024 main 940), heuristic sub-adapter; Shears (arXiv 2404.10934),
 *   hill climbing from the heuristic configuration
 */
export function createHeuristic(): Proposer {
  let ladder: Indices[] | null = null;
  return {
    learn: () => {},
    propose(view) {
      ladder ??= uniformChoices(view.space);
      while (ladder.length > 0) {
        const rung = ladder.shift() as Indices;
        if (!view.isKnown(rung)) return rung;
      }
      for (const centre of frontByCrowding(view)) {
        const near = view.random
          .shuffle(neighboursOf(centre.indices, view.space))
          .find((candidate) => !view.isKnown(candidate));
        if (near) return near;
      }
      return null;
    },
  };
}

/** Every relative position of ranks, and of all else, for every form, nearest to the middle first. */
function uniformChoices(space: SearchSpace): Indices[] {
  const steps = Math.max(1, ...space.genes.filter(isOrdinal).map((gene) => gene.choices.length - 1));
  const shares = Array.from({ length: steps + 1 }, (_, step) => step / steps).sort(
    (a, b) => Math.abs(a - 0.5) - Math.abs(b - 0.5) || b - a,
  );
  const forms = space.genes.find((gene) => !isOrdinal(gene))?.choices.length ?? 1;
  const pairs = shares.flatMap((rankShare) => shares.map((baseShare) => ({ rankShare, baseShare })));
  return pairs
    .sort((a, b) => distance(a) - distance(b))
    .flatMap(({ rankShare, baseShare }) =>
      Array.from({ length: forms }, (_, form) =>
        space.genes.map((gene) => {
          if (!isOrdinal(gene)) return form;
          return Math.round(
            (gene.name.endsWith('.rank') ? rankShare : baseShare) * (gene.choices.length - 1),
          );
        }),
      ),
    );
}

const isOrdinal = (gene: SearchSpace['genes'][number]): boolean => gene.order === 'ordinal';
const distance = (pair: { rankShare: number; baseShare: number }): number =>
  Math.abs(pair.rankShare - 0.5) + Math.abs(pair.baseShare - 0.5);

/** The front's members, least crowded first; the older of equals first. */
function frontByCrowding(view: SearchView): Individual[] {
  const front = paretoFront(view.individuals.map(({ vector }) => vector)).map(
    (index) => view.individuals[index] as Individual,
  );
  const distances = crowdingDistances(front.map(({ vector }) => vector));
  return front
    .map((individual, place) => ({ individual, crowding: distances[place] as number }))
    .sort((a, b) => (a.crowding === b.crowding ? 0 : b.crowding - a.crowding))
    .map(({ individual }) => individual);
}
