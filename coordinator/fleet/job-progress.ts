import type { Clock } from '@fleetlora/shared/clock';
import type { Progress } from '@fleetlora/shared/protocol';

/**
 * What devices said last of their jobs, and when: the heartbeats of the leases. Not stored: after
 * a restart of the coordinator a job counts as silent from the next word of its device.
 */
export interface JobProgress {
  note(deviceId: string, progress: Progress): void;
  /** Null before the device spoke of the job. */
  of(jobId: string): Progress | null;
  /** How long the device has not spoken of the job; null before it did. */
  silentMs(jobId: string): number | null;
  /** The device is back: silence counts from now on. */
  heardOf(deviceId: string): void;
  /** For all devices silence counts from now on. */
  restart(): void;
  forget(jobId: string): void;
}

export function createJobProgress(clock: Clock): JobProgress {
  const told = new Map<string, { deviceId: string; progress: Progress; atMs: number }>();
  return {
    note(deviceId, progress) {
      told.set(progress.jobId, { deviceId, progress, atMs: clock.monotonicMs() });
    },
    of: (jobId) => told.get(jobId)?.progress ?? null,
    silentMs(jobId) {
      const last = told.get(jobId);
      return last === undefined ? null : clock.monotonicMs() - last.atMs;
    },
    heardOf(deviceId) {
      for (const last of told.values()) if (last.deviceId === deviceId) last.atMs = clock.monotonicMs();
    },
    restart() {
      for (const last of told.values()) last.atMs = clock.monotonicMs();
    },
    forget: (jobId) => void told.delete(jobId),
  };
}
