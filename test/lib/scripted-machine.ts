import type { Machine, MachineReading, WatchReport } from '@fleetlora/agent/host';

/** What a scripted machine says at one session, and so on; the last line goes on for ever. */
export interface MachineLine {
  readonly hot?: boolean;
  /** Others at the gate; null: not looked at. */
  readonly gate?: 'quiet' | 'busy' | null;
  readonly seen?: Partial<WatchReport>;
  /** Tells throttling in the middle of the watch. */
  readonly throttleNow?: boolean;
}

export interface ScriptedMachine extends Machine {
  /** What was asked of it, in order. */
  readonly log: string[];
}

/**
 * A machine that says what a test wants: no load, heat or battery of the one the tests run on comes
 * into it. Without lines it is cool and quiet for ever.
 * @param readings what `state` answers at each look, the last one again and again
 */
export function scriptMachine(
  lines: readonly MachineLine[] = [{}],
  more: Partial<Machine> = {},
  readings: readonly Partial<MachineReading>[] = [{}],
): ScriptedMachine {
  const log: string[] = [];
  let passed = -1;
  let read = 0;
  const line = (): MachineLine => lines[Math.min(passed, lines.length - 1)] ?? {};
  return {
    log,
    emulated: false,
    limits: { coolWaitMs: 300_000, quietWaitMs: 20_000, maxOtherShare: 0.1 },
    async state() {
      const reading = readings[Math.min(read++, readings.length - 1)];
      return { temperatureC: null, onMains: null, governor: null, ...reading };
    },
    async waitUntilCool() {
      passed++;
      log.push('cool');
      return { waitedMs: line().hot ? 3000 : 0, hot: line().hot ?? false };
    },
    async waitUntilQuiet() {
      log.push('quiet');
      const { gate = 'quiet' } = line();
      return { waitedMs: 300, otherCores: gate === null ? null : 0.25, busy: gate === 'busy' };
    },
    async watch({ onThrottled } = {}) {
      log.push('watch');
      const { seen, throttleNow } = line();
      if (throttleNow) setImmediate(() => onThrottled?.());
      return {
        async end() {
          if (log.at(-1) !== 'end') log.push('end');
          return { throttled: false, otherCores: 0.25, busy: false, ...seen };
        },
      };
    },
    energyMeter: async () => null,
    ...more,
  };
}

/** A device that serves nobody. */
export const idle = { startedRequests: () => 0, whenIdle: () => Promise.resolve() };
