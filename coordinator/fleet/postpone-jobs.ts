import { explainConditions } from '@fleetlora/shared/protocol';
import { endJob } from './end-job.js';
import type { FleetRepositories, StoredDevice, StoredJob } from './ports.js';

/**
 * Ends the jobs that wait for a device which may not measure, so that other devices get their
 * trials. A SENT job is left alone: its device knows best, and answers.
 * @param which `candidates` leaves a waiting qualification
 * @returns the ended rows, for `afterJobsEnded`
 */
export async function postponeQueued(
  repositories: FleetRepositories,
  deviceId: string,
  reason: string,
  nowMs: number,
  which: 'all' | 'candidates' = 'all',
): Promise<StoredJob[]> {
  const ended: StoredJob[] = [];
  for (const job of await repositories.jobs.listUnfinished(deviceId)) {
    if (job.state !== 'QUEUED' || (which === 'candidates' && job.kind === 'qualification')) continue;
    ended.push(await endJob(repositories, job, { state: 'POSTPONED', result: null, reason }, nowMs));
  }
  return ended;
}

/** Why a device may not measure, in words; null when it may, or never said. */
export function refusalOf({ conditions }: Pick<StoredDevice, 'conditions'>): string | null {
  return conditions === null ? null : explainConditions(conditions);
}
