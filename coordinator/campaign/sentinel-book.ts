import type { DriftCorrection, SearchStart } from '@fleetlora/shared/protocol';
import { type DriftVerdict, judgeDrift, type SentinelFigures, type SentinelTiming } from './judge-drift.js';
import type { TrialJob } from './ports.js';

/** Sentinels in a row that a device may fail before it goes on without one, until the next is due. */
const ATTEMPTS = 3;

/** Jobs between two sentinels of a device when the search does not say. */
const DEFAULT_EVERY = 8;

export function sentinelEveryOf({ sentinelEvery }: Pick<SearchStart, 'sentinelEvery'>): number {
  return sentinelEvery ?? DEFAULT_EVERY;
}

/** What is kept of a job: the figures, not the raw samples. */
interface Entry {
  readonly job: Omit<TrialJob, 'end'>;
  readonly outcome: NonNullable<TrialJob['end']>['outcome'] | null;
  /** Of a sentinel that was measured. */
  readonly figures: SentinelFigures | null;
}

/**
 * The sentinels of a search: the same candidate on every device, again and again, so that a change
 * of its time tells of the device and not of candidates. Everything follows from the search's jobs,
 * hence is the same after a restart.
 */
export interface SentinelBook {
  /** Takes a job when it is stored, and once more when it has ended; oldest first. */
  note(job: TrialJob): void;
  /** Whether the device has to measure the sentinel before its next trials. */
  isDue(deviceId: string): boolean;
  /** Sentinel jobs that have not ended. */
  unfinished(): string[];
  /** For trials of this job: by the device's last sentinel before it. Null when it measured none. */
  correctionOf(job: TrialJob): DriftCorrection | null;
  /** The first sentinel of the search that was measured, on whichever device; null before there is one. */
  reference(): { readonly figures: SentinelFigures; readonly jobId: string } | null;
  /** Why the device's last sentinel says that it drifted, and when that was; null when it did not. */
  driftOf(deviceId: string): { readonly reason: string; readonly sinceMs: number } | null;
  /** Sentinels whose trials are in doubt: the last one before a drift, and the one that showed it. */
  doubtful(): ReadonlySet<string>;
}

/** @param every jobs after which a device measures it again; 0 never */
export function createSentinelBook(every: number): SentinelBook {
  const entries = new Map<string, Entry>();
  let verdicts: ReadonlyMap<string, DriftVerdict> | null = null;
  const judged = (): ReadonlyMap<string, DriftVerdict> => {
    verdicts ??= judgeAll([...entries.values()]);
    return verdicts;
  };
  const ofDevice = (deviceId: string): Entry[] =>
    [...entries.values()].filter(({ job }) => job.deviceId === deviceId);
  const measuredOf = (all: readonly Entry[]): Entry[] => all.filter(({ figures }) => figures !== null);

  return {
    note({ end, ...job }) {
      const [measured] = job.kind === 'sentinel' && end?.outcome === 'measured' ? end.measurements : [];
      entries.set(job.jobId, {
        job,
        outcome: end?.outcome ?? null,
        figures: measured ? figuresOf(measured) : null,
      });
      if (job.kind === 'sentinel') verdicts = null;
    },
    isDue(deviceId) {
      if (every === 0) return false;
      let jobs = every;
      let failures = 0;
      for (const { job, outcome, figures } of ofDevice(deviceId)) {
        if (outcome === 'postponed') continue;
        if (job.kind === 'trial') {
          jobs++;
        } else if (outcome === null) {
          return false;
        } else {
          failures = figures ? 0 : failures + 1;
          const isSettled = figures ? judged().get(job.jobId)?.drift === null : gaveUp(outcome, failures);
          if (isSettled) failures = 0;
          jobs = isSettled ? 0 : every;
        }
      }
      return jobs >= every;
    },
    unfinished: () =>
      [...entries.values()].flatMap(({ job, outcome }) =>
        job.kind === 'sentinel' && outcome === null ? [job.jobId] : [],
      ),
    correctionOf({ jobId, deviceId }) {
      const all = ofDevice(deviceId);
      const place = all.findIndex(({ job }) => job.jobId === jobId);
      const sentinel = measuredOf(place < 0 ? all : all.slice(0, place)).at(-1)?.job.jobId;
      const verdict = sentinel === undefined ? undefined : judged().get(sentinel);
      if (sentinel === undefined || verdict === undefined) return null;
      return { decode: verdict.decode, prefill: verdict.prefill, sentinelJobId: sentinel };
    },
    reference() {
      const first = firstOf(measuredOf([...entries.values()]));
      return first?.figures ? { figures: first.figures, jobId: first.job.jobId } : null;
    },
    driftOf(deviceId) {
      const last = measuredOf(ofDevice(deviceId)).at(-1);
      const reason = last && judged().get(last.job.jobId)?.drift;
      return reason ? { reason, sinceMs: last.job.endedAtMs ?? 0 } : null;
    },
    doubtful() {
      const doubtful = new Set<string>();
      const before = new Map<string, string>();
      for (const { job } of measuredOf([...entries.values()])) {
        // Behind the one that showed it are trials from before the device heard that it is not trusted.
        if (judged().get(job.jobId)?.drift !== null)
          for (const id of [before.get(job.deviceId), job.jobId]) if (id !== undefined) doubtful.add(id);
        before.set(job.deviceId, job.jobId);
      }
      return doubtful;
    },
  };
}

/** A device that cannot run the sentinel will not run it the next time either. */
const gaveUp = (outcome: Entry['outcome'], failures: number): boolean =>
  outcome === 'infeasible' || outcome === 'rejected' || failures >= ATTEMPTS;

const figuresOf = ({ decode, prefill }: SentinelFigures): SentinelFigures => ({
  decode: intervalOf(decode),
  prefill: intervalOf(prefill),
});
const intervalOf = ({ p50Ms, lowMs, highMs }: SentinelTiming): SentinelTiming => ({ p50Ms, lowMs, highMs });

/** Verdicts by job. The reference is the sentinel that ended first, whenever it was asked for. */
function judgeAll(entries: readonly Entry[]): Map<string, DriftVerdict> {
  const verdicts = new Map<string, DriftVerdict>();
  const measured = entries.flatMap(({ job, figures }) => (figures ? [{ job, figures }] : []));
  const first = firstOf(measured);
  if (!first) return verdicts;
  const standing = new Map<string, SentinelFigures | null>();
  for (const { job, figures } of measured) {
    const verdict = judgeDrift(figures, first.figures, standing.get(job.deviceId) ?? null);
    standing.set(job.deviceId, verdict.drift === null ? figures : null);
    verdicts.set(job.jobId, verdict);
  }
  return verdicts;
}

/** The one that ended first, whenever it was asked for. */
function firstOf<E extends Pick<Entry, 'job'>>(measured: readonly E[]): E | undefined {
  return [...measured].sort(
    (a, b) => (a.job.endedAtMs ?? 0) - (b.job.endedAtMs ?? 0) || (a.job.jobId < b.job.jobId ? -1 : 1),
  )[0];
}
