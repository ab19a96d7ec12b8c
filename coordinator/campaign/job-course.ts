import { correctionOf } from './correct-drift.js';
import type { LiveTrial } from './live-trial.js';
import { isPending } from './live-trial.js';
import type { CampaignRepository, JobEnd, TrialJob } from './ports.js';
import type { SentinelBook } from './sentinel-book.js';

/** Jobs a trial gets before it counts as failed. */
const ATTEMPTS = 3;

/** What jobs do to the trials of a search. Calls run one after another. */
export interface JobCourse {
  /** Takes up the jobs of the search after a restart: all of them, oldest first. */
  takeUp(jobs: readonly TrialJob[]): Promise<void>;
  /** The job was stored. */
  started(job: TrialJob): Promise<void>;
  /** Takes the end of a job, at most once per job. */
  ended(job: TrialJob): Promise<void>;
}

/** @param change writes to a trial's row, then to the trial */
export function createJobCourse(
  trials: ReadonlyMap<string, LiveTrial>,
  sentinels: SentinelBook,
  change: (live: LiveTrial, update: Parameters<CampaignRepository['updateTrial']>[1]) => Promise<void>,
): JobCourse {
  const endedJobs = new Set<string>();

  /** @param place of the trial in the job */
  async function trialEnded(live: LiveTrial, job: TrialJob, end: JobEnd, place: number): Promise<void> {
    if (live.jobId === job.jobId || live.jobId === null) {
      live.busy = false;
      live.jobId = null;
    }
    // A crash may have come between the trials of a batch: those that are done stay as they are.
    if (live.end !== null || !isPending(live) || end.outcome === 'postponed') return;
    const measurement = end.outcome === 'measured' ? end.measurements[place] : undefined;
    if (measurement) {
      const correction = correctionOf(
        job,
        end.outcome === 'measured' ? end.measurements[0] : undefined,
        sentinels,
      );
      await change(live, { measurement, correction, deviceId: job.deviceId });
      live.end = { state: 'finished' };
    } else if (job.trialIds.length > 1) {
      // Nothing says which of the batch it was: each tries by itself, and that alone counts.
      live.alone = true;
    } else if (end.outcome === 'infeasible') {
      await change(live, { reason: end.reason, deviceId: job.deviceId });
      live.end = { state: 'infeasible' };
    } else {
      live.failedDevices.push(job.deviceId);
      if (live.failedDevices.length < ATTEMPTS) return;
      const reason = end.outcome === 'measured' ? 'no measurement of it' : end.reason;
      await change(live, { reason: `${ATTEMPTS} attempts ended with ${end.outcome}: ${reason}` });
      live.end = { state: 'failed' };
    }
  }

  async function started(job: TrialJob): Promise<void> {
    sentinels.note(job);
    for (const trialId of job.trialIds) {
      const live = trials.get(trialId);
      if (!live) continue;
      live.busy = true;
      live.jobId = job.jobId;
      await change(live, { deviceId: job.deviceId });
    }
  }

  async function ended(job: TrialJob): Promise<void> {
    if (!job.end || endedJobs.has(job.jobId)) return;
    endedJobs.add(job.jobId);
    sentinels.note(job);
    for (const [place, trialId] of job.trialIds.entries()) {
      const live = trials.get(trialId);
      if (live) await trialEnded(live, job, job.end, place);
    }
  }

  return {
    started,
    ended,
    async takeUp(jobs) {
      // First all sentinels: what trials are corrected by follows from the whole book.
      for (const job of jobs) sentinels.note(job);
      for (const job of jobs) await (job.end ? ended(job) : started(job));
    },
  };
}
