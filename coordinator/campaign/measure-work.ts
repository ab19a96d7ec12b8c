import { type Base, baseDigestFor, type MeasurePlan, type SearchStart } from '@fleetlora/shared/protocol';
import type { IdleDevice, JobSubmission, TrialJob } from './ports.js';
import { sentinelEveryOf } from './sentinel-book.js';

/** What a job is to measure. */
export interface Work {
  readonly kind: TrialJob['kind'];
  /** Of trials in their order, none for a sentinel. */
  readonly trialIds: readonly string[];
  readonly genomes: readonly string[];
  /** What the first one is timed in turns with; only of trials. */
  readonly sentinel?: string;
}

/** The longest that a message can say. */
export const longestTimeoutMs = 3_600_000;
/** Share of the time of a first candidate that each further one of a batch may take. */
const FURTHER_SHARE = 0.25;

/**
 * Time for a job of `candidates`. Further ones of a batch share sessions and loads with the first;
 * a continuous run comes on top for each.
 * @param baseMs for one candidate without a continuous run
 */
export function timeoutOf(baseMs: number, candidates: number, { sustainedSeconds = 0 }: MeasurePlan): number {
  const ms = baseMs * (1 + FURTHER_SHARE * (candidates - 1)) + 1000 * sustainedSeconds * candidates;
  return Math.min(longestTimeoutMs, Math.round(ms));
}

/** Whether a search's candidates are timed in turns with its sentinel, too. */
export function isBesideSentinel(spec: Pick<SearchStart, 'sentinelEvery' | 'besideSentinel'>): boolean {
  return (spec.besideSentinel ?? true) && sentinelEveryOf(spec) > 0;
}

/**
 * The body of the job. A sentinel is compared by its times alone: it has no continuous run. One
 * beside candidates of another precision runs on a weight file of its own.
 * @throws NOT_FOUND when the base has no file of a precision
 */
export function jobBodyOf(
  { kind, genomes: [genome = '', ...others], sentinel }: Work,
  search: {
    readonly plan: MeasurePlan;
    readonly base: Pick<Base, 'name' | 'files'>;
    readonly adapterDigest: string;
  },
  baseTimeoutMs: number,
): JobSubmission['body'] {
  const { sustainedSeconds, ...short } = search.plan;
  const plan = kind === 'sentinel' ? short : search.plan;
  const baseDigest = baseDigestFor(search.base, genome);
  const sentinelBaseDigest = sentinel === undefined ? baseDigest : baseDigestFor(search.base, sentinel);
  return {
    genome,
    ...(others.length > 0 && { others }),
    ...(sentinel !== undefined && { sentinel }),
    baseDigest,
    ...(sentinelBaseDigest !== baseDigest && { sentinelBaseDigest }),
    adapterDigest: search.adapterDigest,
    plan,
    timeoutMs: timeoutOf(baseTimeoutMs, 1 + others.length, plan),
  };
}

/** Why a search gives a device nothing, in words that follow its name; null when it may. */
export function refusalOf(
  device: IdleDevice,
  { plan, qualifiedOnly = false }: { readonly plan: MeasurePlan; readonly qualifiedOnly?: boolean },
): string | null {
  const { sessions, provider, sustainedSeconds } = plan;
  if (!device.takesBatches && [sessions, provider, sustainedSeconds].some((field) => field !== undefined))
    return 'has an agent of before 0.3, which does not know the plan';
  if (!qualifiedOnly || device.qualification?.accepted) return null;
  return device.qualification === null
    ? 'has not qualified'
    : `is unsteady (${device.qualification.spreadPercent.toFixed(1)} %)`;
}
