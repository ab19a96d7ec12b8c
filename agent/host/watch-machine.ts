import { type Pause, repeatEvery } from './pause.js';
import type { GateLimits, MachineWatch, WatchOptions, WatchReport } from './ports.js';
import { otherCoresBetween, type ProcessorTime } from './processor-time.js';
import { isBusy } from './quiet-gate.js';
import type { ThrottleSigns } from './throttle-signs.js';

/**
 * A look costs the device a millisecond of some core, hence not more than a thousandth; the
 * sources that matter keep what happened since the look before.
 */
const LOOK_EVERY_MS = 1_000;

export interface WatchDoors {
  readonly openSigns: () => Promise<ThrottleSigns>;
  readonly readTime: () => ProcessorTime | null;
  readonly pause: Pause;
  readonly limits: GateLimits;
}

/** Watches the machine from the moment this resolves. */
export async function watchMachine(doors: WatchDoors, options: WatchOptions = {}): Promise<MachineWatch> {
  const signs = await doors.openSigns();
  let throttled = false;
  const look = async (): Promise<void> => {
    if (!(await signs.look()) || throttled) return;
    throttled = true;
    options.onThrottled?.();
  };
  const looking = repeatEvery(LOOK_EVERY_MS, doors.pause, look);
  const from = doors.readTime();

  async function report(): Promise<WatchReport> {
    const to = doors.readTime();
    await looking.end();
    throttled ||= await signs.look();
    const otherCores = otherCoresBetween(from, to);
    return {
      throttled: throttled || (signs.canDeny ? false : null),
      otherCores,
      busy: isBusy(otherCores, to?.cores ?? 0, doors.limits),
    };
  }

  let ended: Promise<WatchReport> | null = null;
  return {
    end() {
      ended ??= report();
      return ended;
    },
  };
}
