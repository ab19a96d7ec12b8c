import type { Random } from '@fleetlora/shared/random';
import type { Genome, SearchSpace } from '@fleetlora/shared/space';
import type { BaselineLabel } from './baselines.js';
import type { Vector } from './pareto.js';

/** How a candidate ended: its objectives (smaller is better), or not at all. */
export type Outcome =
  | { readonly kind: 'measured'; readonly vector: Vector }
  | { readonly kind: 'infeasible' };

export interface Proposal {
  readonly genome: Genome;
  readonly label: BaselineLabel | null;
}

/**
 * A search strategy, asked and told in any order: there is no generation to wait for, so devices
 * of unequal speed never idle. Equal seeds and equal sequences of asks and tells give equal
 * proposals, so a log of the sequence is the whole state. Asking again before anything was told
 * is fine. A genome is proposed once.
 */
export interface Strategy {
  /** The next candidate; null once every genome of the space was proposed. */
  ask(): Proposal | null;
  /** @throws BUG for a genome that was not proposed, or was told before */
  tell(genome: Genome, outcome: Outcome): void;
}

/** One candidate in terms of the space: an index into each gene's choices. */
export type Indices = readonly number[];

/** A measured candidate. */
export interface Individual {
  readonly indices: Indices;
  readonly vector: Vector;
}

/** What proposing needs to know of the search so far. */
export interface SearchView {
  readonly space: SearchSpace;
  readonly random: Random;
  /** How many candidates were proposed, baselines included. */
  readonly proposed: number;
  /** Whether the candidate was proposed before. */
  isKnown(indices: Indices): boolean;
  /** Measured candidates in the order told. */
  readonly individuals: readonly Individual[];
}

/** The part in which strategies differ: where to look next. */
export interface Proposer {
  /** Called for each measured candidate, baselines included. */
  learn(individual: Individual, view: SearchView): void;
  /** A candidate not known yet, or null to leave it to chance. */
  propose(view: SearchView): Indices | null;
}
