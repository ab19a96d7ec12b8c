import type { SessionResult } from '@fleetlora/agent/measure';
import type { Batch, Measurement, PercentDifference } from '@fleetlora/shared/protocol';
import { anchorGenome, type Genome, sampleGenome } from '@fleetlora/shared/space';
import { percentDifference } from '@fleetlora/shared/statistics';
import { unpairedDifference } from './intervals.js';
import type { MeasureGround } from './measure-ground.js';
import { type Quantity, sessionsOf, sharedOf } from './quantities.js';

/** By how much the slower candidate of each pair is slower. */
export const trueDifference = 0.03;
/** Entrants of a shared session: a candidate, the slower one, and the duplicate of the first. */
const SLOWER = 1;
const DUPLICATE = 2;

/** One job of two candidates that are alike but for the time the second one is kept busy. */
export interface PairJob {
  /** Number of the genome: jobs of equal numbers measured the same one. */
  readonly genome: number;
  readonly first: Measurement;
  readonly batch: Batch;
  /** Of the slower one. */
  readonly slowerBatch: Batch;
  readonly sessions: readonly SessionResult[];
}

/** Genomes that the jobs are about: the ends and the middle of the space, and one at random. */
function pairGenomes({ space, random }: MeasureGround): Genome[] {
  const anchors = (['max', 'middle', 'min'] as const).map((anchor) =>
    anchorGenome(space, anchor, 'unmerged'),
  );
  return [...anchors, { ...sampleGenome(space, random), form: 'unmerged' }];
}

/** The same genome in consecutive jobs, so that two of them can be held against each other. */
export async function comparePairs(
  ground: MeasureGround,
  jobs: number,
  order: 'random' | 'fixed',
  say: (text: string) => void,
): Promise<PairJob[]> {
  // At least two jobs a genome, where there are two.
  const genomes = pairGenomes(ground).slice(0, Math.max(1, Math.floor(jobs / 2)));
  const found: PairJob[] = [];
  for (let job = 0; job < jobs; job++) {
    const number = Math.floor((job * genomes.length) / jobs);
    const genome = genomes[number] as Genome;
    const { measurement, others, sessions } = await ground.measureTwisted([genome, genome], {
      slowed: SLOWER,
      slowedBy: trueDifference,
      order,
    });
    const batch = measurement.batch as Batch;
    const slowerBatch = others?.[0]?.batch as Batch;
    found.push({ genome: number, first: measurement, batch, slowerBatch, sessions });
    const { duplicate } = batch;
    say(
      `pair ${job + 1} of ${jobs}, ${order} order: equal ones ${shown(duplicate.decode)}, slower one ${shown(slowerBatch.difference.decode)}`,
    );
  }
  return found;
}

const shown = ({ percent, low, high }: PercentDifference): string =>
  `${percent.toFixed(2)} % [${low.toFixed(2)}, ${high.toFixed(2)}]`;

/** Differences of the pairs as the agent tells them. */
export const equalPairs = (jobs: readonly PairJob[], quantity: Quantity): PercentDifference[] =>
  jobs.map(({ batch }) => batch.duplicate[quantity]);
export const slowerPairs = (jobs: readonly PairJob[], quantity: Quantity): PercentDifference[] =>
  jobs.map(({ slowerBatch }) => slowerBatch.difference[quantity]);

/** What the same samples say from the first session alone. */
export function oneSession(
  jobs: readonly PairJob[],
  quantity: Quantity,
  entrant: 'equal' | 'slower',
): PercentDifference[] {
  const index = entrant === 'equal' ? DUPLICATE : SLOWER;
  return jobs.flatMap(({ sessions: [session] }) =>
    session ? [percentDifference(sharedOf(session, index, quantity), sharedOf(session, 0, quantity))] : [],
  );
}

/** What the same pairs say when all of them count as independent, whatever session they are of. */
export function pooled(
  jobs: readonly PairJob[],
  quantity: Quantity,
  entrant: 'equal' | 'slower',
): PercentDifference[] {
  const index = entrant === 'equal' ? DUPLICATE : SLOWER;
  return jobs.map(({ sessions }) =>
    percentDifference(allOf(sessions, index, quantity), allOf(sessions, 0, quantity)),
  );
}

/** What the same samples of the shared sessions say when nobody knows which were taken in one round. */
export function unpaired(
  jobs: readonly PairJob[],
  quantity: Quantity,
  entrant: 'equal' | 'slower',
): PercentDifference[] {
  const index = entrant === 'equal' ? DUPLICATE : SLOWER;
  return jobs.map(({ sessions }) =>
    unpairedDifference(allOf(sessions, index, quantity), allOf(sessions, 0, quantity)),
  );
}

const allOf = (sessions: readonly SessionResult[], entrant: number, quantity: Quantity): number[] =>
  sessions.flatMap((session) => [...sharedOf(session, entrant, quantity)]);

/**
 * What sessions of the candidates' own say: each job's first candidate against that of the next job
 * of the same genome, round about, whose samples are made slower by the true difference where
 * `slowedBy` says so.
 * @param by `samples`: all samples count as independent; `sessions`: the medians of the sessions do
 */
export function apart(
  jobs: readonly PairJob[],
  quantity: Quantity,
  by: 'samples' | 'sessions' | 'oneSession',
  slowedBy: number,
): PercentDifference[] {
  return jobs.map((job, index) => {
    const alike = jobs.filter(({ genome }) => genome === job.genome);
    const next = alike[(alike.indexOf(jobs[index] as PairJob) + 1) % alike.length] as PairJob;
    const slower = valuesOf(next.first, quantity, by).map((value) => value * (1 + slowedBy));
    return unpairedDifference(slower, valuesOf(job.first, quantity, by));
  });
}

function valuesOf(
  measurement: Measurement,
  quantity: Quantity,
  by: 'samples' | 'sessions' | 'oneSession',
): readonly number[] {
  const sessions = sessionsOf(measurement, quantity);
  if (by === 'oneSession') return sessions[0] ?? [];
  return by === 'samples' ? sessions.flat() : (measurement[quantity].sessionMediansMs ?? []);
}
