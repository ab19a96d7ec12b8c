import { CodedError } from '@fleetlora/shared/errors';
import type { strategies } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { encodeGenome, type SearchSpace } from '@fleetlora/shared/space';
import { baselinesOf } from './baselines.js';
import { createHeuristic } from './heuristic.js';
import { createHillClimbing } from './hill-climbing.js';
import { createNsga2 } from './nsga2.js';
import type { Indices, Individual, Outcome, Proposer, SearchView, Strategy } from './strategy.js';
import { randomIndices, unknownFrom } from './variation.js';

export type StrategyName = (typeof strategies)[number];

const proposers: Readonly<Record<StrategyName, () => Proposer>> = {
  nsga2: createNsga2,
  heuristic: createHeuristic,
  hillClimbing: createHillClimbing,
  random: () => ({ learn: () => {}, propose: () => null }),
};

/** Blind draws before the nearest unknown candidate is looked for systematically. */
const DRAWS = 64;

/**
 * A strategy over `space`. Whatever its name, it proposes the baselines first: they anchor the
 * front's ends and the table that people read.
 */
export function createStrategy(name: StrategyName, space: SearchSpace, seed: number): Strategy {
  const proposer = proposers[name]();
  const random = createRandom(seed);
  const baselines = baselinesOf(space);
  /** Proposed genomes, and whether they were told. */
  const known = new Map<string, boolean>();
  const individuals: Individual[] = [];
  const textOf = (indices: Indices): string => encodeGenome(space.toGenome(indices));
  const view: SearchView = {
    space,
    random,
    get proposed() {
      return known.size;
    },
    individuals,
    isKnown: (indices) => known.has(textOf(indices)),
  };

  const byChance = (): Indices => {
    for (let draw = 0; draw < DRAWS; draw++) {
      const indices = randomIndices(space, random);
      if (!view.isKnown(indices)) return indices;
    }
    return unknownFrom(randomIndices(space, random), view);
  };

  return {
    ask() {
      const baseline = baselines.shift();
      if (baseline) {
        known.set(encodeGenome(baseline.genome), false);
        return baseline;
      }
      if (known.size >= space.size) return null;
      const genome = space.toGenome(proposer.propose(view) ?? byChance());
      known.set(encodeGenome(genome), false);
      return { genome, label: null };
    },
    tell(genome, outcome: Outcome) {
      const text = encodeGenome(genome);
      const told = known.get(text);
      if (told !== false)
        throw new CodedError('BUG', `${text} was ${told ? 'told twice' : 'told without being proposed'}`);
      known.set(text, true);
      if (outcome.kind === 'infeasible') return;
      const individual = { indices: space.toIndices(genome), vector: outcome.vector };
      individuals.push(individual);
      proposer.learn(individual, view);
    },
  };
}
