import type { IdleDevice } from './ports.js';

type Placed = Pick<IdleDevice, 'id' | 'bootId'>;

/**
 * How many jobs of a search wait on a machine. Devices of one boot id are one machine: it measures
 * one candidate at a time, so they share the jobs that a search may have waiting there. A device
 * with the boot id "" (unknown) is taken for a machine of its own.
 */
export interface MachineQueues {
  /** Whether the device may get one more job of the search: its machine has fewer than `ahead` of them. */
  hasRoom(device: Placed, searchId: string, ahead: number): boolean;
  /** The device has this job, queued or running, until `remove`. */
  add(device: Placed, searchId: string, jobId: string): void;
  /** Harmless for an unknown job. */
  remove(jobId: string): void;
}

export function createMachineQueues(): MachineQueues {
  /** By job. */
  const queued = new Map<string, { readonly machine: string; readonly searchId: string }>();
  const machineOf = ({ id, bootId }: Placed): string => (bootId === '' ? `device ${id}` : `boot ${bootId}`);
  return {
    hasRoom(device, searchId, ahead) {
      const machine = machineOf(device);
      const jobs = [...queued.values()].filter((job) => job.machine === machine && job.searchId === searchId);
      return jobs.length < ahead;
    },
    add(device, searchId, jobId) {
      queued.set(jobId, { machine: machineOf(device), searchId });
    },
    remove(jobId) {
      queued.delete(jobId);
    },
  };
}
