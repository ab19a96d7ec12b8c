import type { JobEnd } from '../campaign/ports.js';
import type { FleetContext } from './context.js';
import { dispatch } from './dispatch.js';
import type { FinalJobState, FleetRepositories, StoredJob } from './ports.js';

/** How a job ends; `result` only when its device told so. */
export type JobEnding = Pick<StoredJob, 'result' | 'reason'> & { readonly state: FinalJobState };

/** Stores the end of an unfinished job; the returned row is what listeners are told. */
export async function endJob(
  { jobs }: FleetRepositories,
  job: StoredJob,
  ending: JobEnding,
  endedAtMs: number,
): Promise<StoredJob> {
  const change = { ...ending, endedAtMs };
  await jobs.update(job.id, change);
  return { ...job, ...change };
}

/** What follows once ends are committed: listeners hear of them, and waiting jobs get their turn. */
export async function afterJobsEnded(context: FleetContext, ended: readonly StoredJob[]): Promise<void> {
  if (ended.length === 0) return;
  for (const job of ended) context.jobEnded.notify(job);
  await dispatch(context);
  context.devicesChanged.notify();
}

/** How a job ended, as the campaign counts it; null while it is unfinished. */
export function jobEndOf({ state, result, reason }: StoredJob): JobEnd | null {
  switch (state) {
    case 'QUEUED':
    case 'SENT':
      return null;
    case 'SUCCEEDED':
      if (result?.outcome === 'measured')
        return { outcome: 'measured', measurements: [result.measurement, ...(result.others ?? [])] };
      return { outcome: 'failed', reason: 'the stored result has no measurement' };
    default:
      return { outcome: outcomes[state], reason: reason ?? '' };
  }
}

const outcomes = {
  FAILED: 'failed',
  INFEASIBLE: 'infeasible',
  REJECTED: 'rejected',
  CANCELED: 'canceled',
  TIMED_OUT: 'timedOut',
  POSTPONED: 'postponed',
} as const;
