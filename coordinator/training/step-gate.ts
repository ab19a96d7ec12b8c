import type { Clock } from '@fleetlora/shared/clock';

/**
 * What a training does at least between two pauses: one step, and this long. Shorter slices would
 * go into filling the caches again.
 */
export const SLICE_MS = 2000;

/** Where a training pauses: between two steps, with all it has in memory. */
export interface StepGate {
  /** Asks for a pause, once the slice is long enough or before the very `next` step. */
  pause(when: 'afterSlice' | 'next'): void;
  /** Ends a pause, or takes the asking back; the next slice begins. */
  goOn(): void;
  /** The training is to end: no pause any more. */
  open(): void;
  /** Awaited before every step. */
  pass(): Promise<void>;
}

/** @param onPaused told at every pause, in the moment it begins */
export function createStepGate(clock: Clock, onPaused: () => void): StepGate {
  let asked: 'afterSlice' | 'next' | null = null;
  let isOpen = false;
  let stepsOfSlice = 0;
  let sliceFromMs = clock.monotonicMs();
  let release: (() => void) | null = null;
  const goOn = (): void => {
    asked = null;
    stepsOfSlice = 0;
    sliceFromMs = clock.monotonicMs();
    release?.();
    release = null;
  };
  return {
    pause(when) {
      if (asked !== 'next') asked = when;
    },
    goOn,
    open() {
      isOpen = true;
      goOn();
    },
    async pass() {
      const isLong = stepsOfSlice > 0 && clock.monotonicMs() - sliceFromMs >= SLICE_MS;
      if (!isOpen && (asked === 'next' || (asked === 'afterSlice' && isLong))) {
        const released = new Promise<void>((resolve) => {
          release = resolve;
        });
        onPaused();
        await released;
      }
      stepsOfSlice++;
    },
  };
}
