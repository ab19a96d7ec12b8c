import { type JobStep, type Progress, progressLostMs } from '@fleetlora/shared/protocol';
import type { FleetContext } from './context.js';
import { afterJobsEnded, endJob } from './end-job.js';
import type { StoredJob } from './ports.js';
import { askDue } from './qualify-devices.js';
import { tellDevice } from './tell-device.js';

/** For the job to reach its device and the result to come back over a slow link. */
const GRACE_MS = 60_000;
/** A queued job waits this long for a device that left: a reboot takes less, and others may be free. */
const OFFLINE_PATIENCE_MS = 60_000;
/** Steps in which a device only waits, for limits of its own that `timeoutMs` does not cover. */
const waitingSteps: readonly JobStep[] = ['waiting', 'cooling', 'quieting'];
/** All that one job may wait, whatever its device says: five minutes of cooling before each of 12 sessions. */
const WAITING_AT_MOST_MS = 3_600_000;
/** After such a pause between two checks this process stood still, and heartbeats wait to be read. */
const STALL_MS = 10_000;

/**
 * How long the coordinator waits for a job of `timeoutMs`, apart from what its device says that it
 * waits. The device applies `timeoutMs` itself, downloads included; this is the backstop for one
 * that fell silent.
 */
export function hardTimeoutMs(timeoutMs: number): number {
  return timeoutMs + GRACE_MS;
}

export interface JobDeadlines {
  /** Ends the jobs whose time is up; called about once a second. */
  check(): Promise<void>;
  /** From now on all waiting counts anew: while the store was away no answer could be taken. */
  restart(): void;
}

/** What a job has spent in its state so far, as it was when it was last looked at. */
interface Spent {
  readonly atMs: number;
  /** Of the time limit, and beside it in steps that only wait. */
  readonly countedMs: number;
  readonly waitingMs: number;
}

interface Verdict {
  readonly state: 'TIMED_OUT' | 'POSTPONED';
  readonly reason: string;
}

/**
 * Ends jobs that nobody will answer: SENT for longer than the hard timeout, or lost by a device
 * that is connected and stopped speaking of them. Postpones those QUEUED for a device that stays
 * offline: its search gives the trials to another. Times run on the monotonic clock, hence from
 * anew after a restart of the coordinator.
 */
export function createJobDeadlines(context: FleetContext): JobDeadlines {
  const { store, clock, log, progress } = context;
  /** By job and the state it is in. */
  let spentBy = new Map<string, Spent>();
  let lastCheckMs = clock.monotonicMs();

  async function expire(job: StoredJob, { state, reason }: Verdict): Promise<StoredJob | null> {
    return store.transact(async (repositories) => {
      const present = await repositories.jobs.find(job.id);
      if (present === null || present.state !== job.state) return null;
      return endJob(repositories, present, { state, result: null, reason }, clock.nowMs());
    });
  }

  /** Adds the time since the last look, to the one account or to the other. */
  function spend(before: Spent | undefined, isWaiting: boolean): Spent {
    const atMs = clock.monotonicMs();
    if (before === undefined) return { atMs, countedMs: 0, waitingMs: 0 };
    const passedMs = atMs - before.atMs;
    const free = isWaiting ? Math.min(passedMs, WAITING_AT_MOST_MS - before.waitingMs) : 0;
    return { atMs, countedMs: before.countedMs + passedMs - free, waitingMs: before.waitingMs + free };
  }

  /** Null while the job is waited for. */
  function judge(job: StoredJob, spent: Spent, deviceIsOnline: boolean): Verdict | null {
    if (job.state === 'QUEUED')
      return spent.countedMs < OFFLINE_PATIENCE_MS
        ? null
        : {
            state: 'POSTPONED',
            reason: `its device stayed offline for ${OFFLINE_PATIENCE_MS / 1000} s`,
          };
    const last = progress.of(job.id);
    if (deviceIsOnline && last !== null && (progress.silentMs(job.id) ?? 0) >= progressLostMs)
      return {
        state: 'TIMED_OUT',
        reason: `lost by its device, which is connected and said nothing of it for ${progressLostMs / 1000} s after "${describeProgress(last)}"`,
      };
    const limitMs = hardTimeoutMs(job.body.timeoutMs);
    if (spent.countedMs < limitMs) return null;
    return { state: 'TIMED_OUT', reason: `no answer from the device in ${limitMs / 1000} s` };
  }

  return {
    async check() {
      const nowMs = clock.monotonicMs();
      if (nowMs - lastCheckMs >= STALL_MS) progress.restart();
      lastCheckMs = nowMs;
      const before = spentBy;
      const spentNow = new Map<string, Spent>();
      const ended: StoredJob[] = [];
      for (const job of await store.jobs.listUnfinished()) {
        const isOnline = (await store.devices.find(job.deviceId))?.online === true;
        if (job.state === 'QUEUED' && isOnline) continue;
        const key = `${job.id} ${job.state}`;
        const step = job.state === 'SENT' ? progress.of(job.id)?.step : undefined;
        const spent = spend(before.get(key), step !== undefined && waitingSteps.includes(step));
        spentNow.set(key, spent);
        const verdict = judge(job, spent, isOnline);
        const row = verdict && (await expire(job, verdict));
        if (row === null) continue;
        log.warn(
          { jobId: job.id, deviceId: job.deviceId, reason: row.reason },
          'job not waited for any longer',
        );
        ended.push(row);
        if (job.state === 'SENT') await tellDevice(context, job.deviceId, 'cancel', { jobId: job.id });
      }
      if (spentBy === before) spentBy = spentNow;
      await afterJobsEnded(context, ended);
      if (context.postponements.expire()) context.devicesChanged.notify();
      await askDue(context);
    },
    restart() {
      spentBy = new Map();
      progress.restart();
    },
  };
}

/** "timing 2 of 5", or the step alone. */
function describeProgress({ step, done, of }: Progress): string {
  return of === undefined ? step : `${step} ${done ?? 0} of ${of}`;
}
