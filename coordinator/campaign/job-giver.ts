import { isCoded } from '@fleetlora/shared/errors';
import { createMachineQueues } from './machine-queues.js';
import { jobBodyOf, refusalOf } from './measure-work.js';
import type { CampaignFleet, IdleDevice, TrialJob } from './ports.js';
import type { SearchRun } from './search-run.js';

/** A device that a search may not use, and why, in words that follow its name. */
export interface Refusal {
  readonly deviceId: string;
  readonly refusal: string;
}

/** Hands the work of searches to devices, within the driver's `exclusive`. */
export interface JobGiver {
  /** Of idle devices those that the search may use. */
  admitted(run: SearchRun, idle: readonly IdleDevice[]): IdleDevice[];
  /** Why a search could use none of the idle devices the last time, told of one; null when it could. */
  refusalOf(searchId: string): Refusal | null;
  /** The one that got a job longest ago comes first. */
  inTurn(devices: readonly IdleDevice[]): IdleDevice[];
  /** Whether the device's machine has fewer than `ahead` jobs of the search. */
  hasRoom(run: SearchRun, device: IdleDevice): boolean;
  /** Gives the device work of the run; false when the run has none or the device took none. */
  give(run: SearchRun, device: IdleDevice, others: 'othersIdle' | 'noneIdle'): Promise<boolean>;
  /** A device has this job, queued or running, until `ended`; told of jobs that were given before a restart. */
  has(job: TrialJob): void;
  /** Harmless for an unknown job. */
  ended(jobId: string): void;
}

/** Unfinished jobs of the search that a device may have. */
export const aheadOf = (run: SearchRun): number => run.search.spec.ahead ?? 1;

/** @param timeoutMs of a job of one candidate */
export function createJobGiver(fleet: CampaignFleet, timeoutMs: number): JobGiver {
  const queues = createMachineQueues();
  /** By search. */
  const refused = new Map<string, Refusal>();
  /** By device: the number of the job it got last. */
  const lastGiven = new Map<string, number>();
  let jobsGiven = 0;

  /** Asks whether the device is what it was, when its last sentinel says that it is not. */
  async function quarantineDrifted(run: SearchRun, device: IdleDevice): Promise<boolean> {
    const drift = run.sentinels.driftOf(device.id);
    // A crash came between the end of the sentinel and this, or else it has qualified since.
    if (drift === null || (device.qualification?.atMs ?? 0) > drift.sinceMs) return false;
    await fleet.quarantine(device.id, drift.reason);
    return true;
  }

  return {
    admitted(run, idle) {
      const { id, spec } = run.search;
      const refusals = idle.map((device) => ({ device, refusal: refusalOf(device, spec) }));
      const devices = refusals.flatMap(({ device, refusal }) => (refusal === null ? [device] : []));
      const [first] = refusals;
      refused.delete(id);
      if (devices.length === 0 && first?.refusal)
        refused.set(id, { deviceId: first.device.id, refusal: first.refusal });
      return devices;
    },
    refusalOf: (searchId) => refused.get(searchId) ?? null,
    inTurn: (devices) => [...devices].sort((a, b) => (lastGiven.get(a.id) ?? 0) - (lastGiven.get(b.id) ?? 0)),
    hasRoom: (run, device) => queues.hasRoom(device, run.search.id, aheadOf(run)),
    async give(run, device, others) {
      if (await quarantineDrifted(run, device)) return false;
      const work = await run.nextWork(device, others);
      if (!work) return false;
      const { kind, trialIds } = work;
      const searchId = run.search.id;
      const { id: deviceId, bootId } = device;
      const body = jobBodyOf(work, { ...run.content, plan: run.search.spec.plan }, timeoutMs);
      let jobId: string;
      try {
        jobId = await fleet.submit({ kind, searchId, trialIds, deviceId, ahead: aheadOf(run), body });
      } catch (error) {
        // The device left, or its queue filled, since it was called idle: the trials wait for another.
        if (!isCoded(error, 'DEVICE_OFFLINE') && !isCoded(error, 'STATE_CONFLICT')) throw error;
        run.jobRefused(work);
        return false;
      }
      queues.add(device, searchId, jobId);
      lastGiven.set(deviceId, ++jobsGiven);
      await run.jobStarted({ jobId, kind, searchId, trialIds, deviceId, bootId, end: null, endedAtMs: null });
      return true;
    },
    has: ({ deviceId, bootId, searchId, jobId }) => queues.add({ id: deviceId, bootId }, searchId, jobId),
    ended: (jobId) => queues.remove(jobId),
  };
}
