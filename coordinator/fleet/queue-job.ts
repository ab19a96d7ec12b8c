import type { FleetContext } from './context.js';
import type { FleetRepositories, StoredJob } from './ports.js';

/** What a new job is about; all else of its row is the same for every kind. */
export type NewJob = Pick<StoredJob, 'id' | 'kind' | 'searchId' | 'trialIds' | 'deviceId' | 'body'>;

/** Stores a job that waits for its turn; within the caller's transaction. */
export async function queueJob(
  { clock }: Pick<FleetContext, 'clock'>,
  { jobs }: Pick<FleetRepositories, 'jobs'>,
  job: NewJob,
): Promise<void> {
  await jobs.insert({
    ...job,
    state: 'QUEUED',
    sends: 0,
    createdAtMs: clock.nowMs(),
    sentAtMs: null,
    endedAtMs: null,
    result: null,
    reason: null,
  });
}
