import type { JobStep, MachineState } from '@fleetlora/shared/protocol';
import type { MeasureDoors } from './measure-task.js';

/** What is waited for before anything is timed: a cool machine, no request, quiet neighbours. */
export interface Gates {
  /**
   * Resolves when all is well, or when a gate's patience is at its end.
   * @throws the signal's reason once it is aborted
   */
  pass(signal?: AbortSignal): Promise<PassedGates>;
  /** In all passes so far. */
  waitedMs(): MachineState['waitedMs'];
}

/** What was not well when the waiting ended. */
export interface PassedGates {
  /** It did not get cool. */
  readonly hot: boolean;
  /** Whether others were quiet; unknown where they were not looked at. */
  readonly others: 'quiet' | 'busy' | 'unknown';
}

/** A shorter wait is not worth a message. */
const TELL_AFTER_MS = 1000;

/**
 * Cool first, which may take minutes; quiet last, which is of the next second alone.
 */
export function createGates({
  clock,
  machine,
  activity,
  onProgress,
}: Pick<MeasureDoors, 'clock' | 'machine' | 'activity' | 'onProgress'>): Gates {
  const waitedMs = { cooling: 0, quiet: 0, serving: 0 };
  const waiting = async <T>(step: JobStep, wait: () => Promise<T>): Promise<T> => {
    const timer = setTimeout(() => onProgress?.(step), TELL_AFTER_MS);
    try {
      return await wait();
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    async pass(signal) {
      const cool = await waiting('cooling', () => machine.waitUntilCool(signal));
      waitedMs.cooling += cool.waitedMs;
      const beginMs = clock.monotonicMs();
      await waiting('waiting', () => activity.whenIdle(signal));
      waitedMs.serving += clock.monotonicMs() - beginMs;
      const quiet = await waiting('quieting', () => machine.waitUntilQuiet(signal));
      waitedMs.quiet += quiet.waitedMs;
      const others = quiet.otherCores === null ? 'unknown' : quiet.busy ? 'busy' : 'quiet';
      return { hot: cool.hot, others };
    },
    waitedMs: () => ({
      cooling: Math.round(waitedMs.cooling),
      quiet: Math.round(waitedMs.quiet),
      serving: Math.round(waitedMs.serving),
    }),
  };
}
