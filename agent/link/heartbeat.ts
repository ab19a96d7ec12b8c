import { type Progress, progressEveryMs } from '@fleetlora/shared/protocol';

/**
 * Says what is done for the job at hand: at each step, and again and again while it lasts, so that
 * the coordinator can tell a long step from a device that lost the job.
 */
export interface Heartbeat {
  /** A step began, or got further. */
  beat(progress: Progress): void;
  /** The job is over. */
  end(): void;
}

/** @param everyMs between two words about a step that gets no further */
export function createHeartbeat(
  tell: (progress: Progress) => void,
  everyMs: number = progressEveryMs,
): Heartbeat {
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => clearInterval(timer);
  return {
    beat(progress) {
      end();
      tell(progress);
      timer = setInterval(() => tell(progress), everyMs);
      // A job that nobody ended must not keep the process alive.
      timer.unref();
    },
    end,
  };
}
