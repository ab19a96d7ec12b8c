import { messageOf } from '@fleetlora/shared/errors';
import {
  digestsOf,
  isQualifyJob,
  type Job,
  type JobResult,
  type MeasureJob,
  type Qualification,
  type QualifyJob,
} from '@fleetlora/shared/protocol';
import type { Verdict } from './explain-child.js';
import type { MeasureOutcome } from './measure-task.js';

/** Runs the coordinator's jobs, one at a time, each to exactly one result. */
export interface JobRunner {
  /** Takes a job. One that is held or was lately finished is a duplicate and changes nothing. */
  submit(job: Job): void;
  cancel(jobId: string): void;
  /**
   * From now on a finished job that comes again is done again. For a new connection: what is sent
   * after its birth the coordinator knows to be undone, were it because a backup was restored.
   */
  forgetFinished(): void;
  /** The running job and the waiting ones. */
  heldJobIds(): string[];
  /** Of the files that those jobs need. */
  heldDigests(): string[];
  runningJobId(): string | null;
  /** Stops without a result: the coordinator sends unfinished jobs again after the next birth. */
  stop(): Promise<void>;
}

type QualifyOutcome = { readonly outcome: 'qualified'; readonly qualification: Qualification } | Verdict;

export interface JobRunnerDoors {
  /** Brings the job's files to this device and measures. */
  readonly measure: (job: MeasureJob, signal: AbortSignal) => Promise<MeasureOutcome>;
  /** Finds out whether this device is steady. */
  readonly qualify: (job: QualifyJob, signal: AbortSignal) => Promise<QualifyOutcome>;
  /** Makes a result safe; after it resolves the job counts as no longer held. */
  readonly deliver: (result: JobResult) => Promise<void>;
  readonly onError: (jobId: string, error: unknown) => void;
}

/** The coordinator sends one job at a time; more than this many waiting ones are a mistake of its. */
const MAX_WAITING = 8;
/** Ids of finished jobs that are remembered, so that a late duplicate is not measured again. */
const MAX_REMEMBERED = 256;
const MAX_REASON = 4000;

export function createJobRunner(doors: JobRunnerDoors): JobRunner {
  const waiting: Job[] = [];
  const finished = new Set<string>();
  let running: { job: Job; jobId: string; abort: AbortController; done: Promise<void> } | null = null;
  let stopped = false;

  async function finish(result: JobResult): Promise<void> {
    remember(result.jobId);
    try {
      await doors.deliver(result);
    } catch (error) {
      // The job is not held any more, so the coordinator sends it again after the next birth.
      finished.delete(result.jobId);
      doors.onError(result.jobId, error);
    }
  }

  function remember(jobId: string): void {
    finished.add(jobId);
    const [oldest] = finished;
    if (finished.size > MAX_REMEMBERED && oldest !== undefined) finished.delete(oldest);
  }

  async function runOne(job: Job, abort: AbortController): Promise<void> {
    let outcome: MeasureOutcome | QualifyOutcome;
    try {
      outcome = isQualifyJob(job)
        ? await doors.qualify(job, abort.signal)
        : await doors.measure(job, abort.signal);
    } catch (error) {
      // The candidate had no say yet: its files did not come, which may be otherwise next time.
      outcome = abort.signal.aborted
        ? { outcome: 'canceled', reason: 'canceled' }
        : { outcome: 'failed', reason: messageOf(error) };
    }
    if (stopped) return;
    await finish(
      outcome.outcome === 'measured' || outcome.outcome === 'qualified'
        ? { jobId: job.jobId, ...outcome }
        : { jobId: job.jobId, outcome: outcome.outcome, reason: outcome.reason.slice(0, MAX_REASON) },
    );
  }

  function next(): void {
    if (running || stopped) return;
    const job = waiting.shift();
    if (!job) return;
    const abort = new AbortController();
    const done = runOne(job, abort).finally(() => {
      running = null;
      next();
    });
    running = { job, jobId: job.jobId, abort, done };
  }

  const heldJobIds = (): string[] => [
    ...(running ? [running.jobId] : []),
    ...waiting.map(({ jobId }) => jobId),
  ];

  return {
    submit(job) {
      if (stopped || finished.has(job.jobId) || heldJobIds().includes(job.jobId)) return;
      if (waiting.length >= MAX_WAITING) {
        void finish({
          jobId: job.jobId,
          outcome: 'rejected',
          reason: `${waiting.length} jobs are waiting on this device already`,
        });
        return;
      }
      waiting.push(job);
      next();
    },
    cancel(jobId) {
      const index = waiting.findIndex((job) => job.jobId === jobId);
      if (index >= 0) {
        waiting.splice(index, 1);
        void finish({ jobId, outcome: 'canceled', reason: 'canceled before it began' });
      } else if (running?.jobId === jobId) running.abort.abort();
    },
    forgetFinished: () => finished.clear(),
    heldJobIds,
    heldDigests: () =>
      [...(running ? [running.job] : []), ...waiting].flatMap((job) =>
        isQualifyJob(job) ? [] : digestsOf(job),
      ),
    runningJobId: () => running?.jobId ?? null,
    async stop() {
      stopped = true;
      running?.abort.abort();
      await running?.done;
    },
  };
}
