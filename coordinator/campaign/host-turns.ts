import type { IdleDevice } from './ports.js';

type Placed = Pick<IdleDevice, 'id' | 'bootId'>;

/**
 * Who may load a machine's cores now. Devices of one boot id are one machine: it measures one
 * candidate at a time, so they share the jobs that a search may have waiting there. While a device
 * on the coordinator's own machine has jobs, nothing is scored there: a measurement must not share
 * its cores. Neither side can starve the other: see `turn`, and a search proposes no more while
 * too many of its results wait to be scored, so that its queue drains.
 */
export interface HostTurns {
  /**
   * Whether the device may get one more job of the search: its machine has fewer than `ahead` of
   * them, and scores nothing at present. A device with the boot id "" (unknown) is taken for a
   * machine of its own.
   */
  mayMeasure(device: Placed, searchId: string, ahead: number): boolean;
  mayScore(): boolean;
  /** The device has this job, queued or running, until `endMeasuring`. */
  startMeasuring(device: Placed, searchId: string, jobId: string): void;
  /** Harmless for an unknown job. */
  endMeasuring(jobId: string): void;
  startScoring(): void;
  endScoring(): void;
  /** Who goes first when the coordinator's machine is free: whoever did not go last. */
  turn(): 'measure' | 'score';
}

export function createHostTurns(hostBootId: string): HostTurns {
  /** By job. */
  const measuring = new Map<string, { readonly machine: string; readonly searchId: string }>();
  let scoring = 0;
  let turn: 'measure' | 'score' = 'score';
  const machineOf = ({ id, bootId }: Placed): string => (bootId === '' ? `device ${id}` : `boot ${bootId}`);
  const isHost = ({ bootId }: Placed): boolean => bootId !== '' && bootId === hostBootId;

  return {
    mayMeasure(device, searchId, ahead) {
      if (isHost(device) && scoring > 0) return false;
      const machine = machineOf(device);
      const jobs = [...measuring.values()].filter(
        (job) => job.machine === machine && job.searchId === searchId,
      );
      return jobs.length < ahead;
    },
    mayScore: () =>
      hostBootId === '' || ![...measuring.values()].some(({ machine }) => machine === `boot ${hostBootId}`),
    startMeasuring(device, searchId, jobId) {
      measuring.set(jobId, { machine: machineOf(device), searchId });
      if (isHost(device)) turn = 'score';
    },
    endMeasuring(jobId) {
      measuring.delete(jobId);
    },
    startScoring() {
      scoring++;
      turn = 'measure';
    },
    endScoring() {
      scoring--;
    },
    turn: () => turn,
  };
}
