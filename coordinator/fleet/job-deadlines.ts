import type { FleetContext } from './context.js';
import { afterJobsEnded, endJob } from './end-job.js';
import type { StoredJob } from './ports.js';
import { tellDevice } from './tell-device.js';

/** For the job to reach its device and the result to come back over a slow link. */
const GRACE_MS = 60_000;
/** A queued job waits this long for a device that left: a reboot takes less, and others may be free. */
const OFFLINE_PATIENCE_MS = 60_000;

/**
 * How long the coordinator waits for a job of `timeoutMs`. The device applies `timeoutMs` itself,
 * downloads included; this is the backstop for a device that fell silent.
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

/**
 * Ends jobs that nobody will answer: SENT for longer than the hard timeout. Postpones those QUEUED
 * for a device that stays offline: its search gives the trials to another. Times run on the
 * monotonic clock, hence from anew after a restart of the coordinator.
 */
export function createJobDeadlines(context: FleetContext): JobDeadlines {
  const { store, clock, log } = context;
  /** Since when a job waits for its device, by job and what it waits for. */
  let waits = new Map<string, number>();

  async function expire(job: StoredJob, state: 'TIMED_OUT' | 'POSTPONED', reason: string) {
    return store.transact(async (repositories) => {
      const present = await repositories.jobs.find(job.id);
      if (present === null || present.state !== job.state) return null;
      const ending = { state, result: null, reason };
      return endJob(repositories, present, ending, clock.nowMs());
    });
  }

  return {
    async check() {
      const nowMs = clock.monotonicMs();
      const before = waits;
      const stillWaiting = new Map<string, number>();
      const ended: StoredJob[] = [];
      for (const job of await store.jobs.listUnfinished()) {
        const waitsForDevice = job.state === 'QUEUED';
        if (waitsForDevice && (await store.devices.find(job.deviceId))?.online) continue;
        const key = `${job.id} ${job.state}`;
        const sinceMs = before.get(key) ?? nowMs;
        stillWaiting.set(key, sinceMs);
        const limitMs = waitsForDevice ? OFFLINE_PATIENCE_MS : hardTimeoutMs(job.body.timeoutMs);
        if (nowMs - sinceMs < limitMs) continue;
        const reason = waitsForDevice
          ? `its device stayed offline for ${limitMs / 1000} s`
          : `no answer from the device in ${limitMs / 1000} s`;
        const row = await expire(job, waitsForDevice ? 'POSTPONED' : 'TIMED_OUT', reason);
        if (row === null) continue;
        log.warn({ jobId: job.id, deviceId: job.deviceId, reason }, 'job not waited for any longer');
        ended.push(row);
        if (!waitsForDevice) await tellDevice(context, job.deviceId, 'cancel', { jobId: job.id });
      }
      if (waits === before) waits = stillWaiting;
      await afterJobsEnded(context, ended);
      if (context.postponements.expire()) context.devicesChanged.notify();
    },
    restart() {
      waits = new Map();
    },
  };
}
