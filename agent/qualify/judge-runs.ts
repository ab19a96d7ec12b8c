import {
  type MachineState,
  type Measurement,
  measurementFlags,
  type Qualification,
  qualificationLimitPercent,
} from '@fleetlora/shared/protocol';
import { quantile } from '@fleetlora/shared/statistics';

/** What runs of the standard candidate say together. */
export type Judgement = Pick<
  Qualification,
  'accepted' | 'spreadPercent' | 'limitPercent' | 'runs' | 'machine' | 'flags'
>;

/**
 * Judges whether a device is steady: by the largest less the smallest decode median of the runs,
 * in percent of their median, all of them counted.
 * @param runs of the same work, at least one, in the order taken
 */
export function judgeRuns(runs: readonly Measurement[], limitPercent = qualificationLimitPercent): Judgement {
  const medians = runs.map(({ decode }) => decode.p50Ms);
  const spread = Math.max(...medians) - Math.min(...medians);
  const spreadPercent = (100 * spread) / quantile(medians, 0.5);
  return {
    accepted: spreadPercent <= limitPercent,
    spreadPercent: round(spreadPercent),
    limitPercent,
    runs: runs.map(({ prefill, decode }) => ({ prefillMs: prefill.p50Ms, decodeMs: decode.p50Ms })),
    machine: joinStates(runs.flatMap(({ machine }) => machine ?? [])),
    flags: measurementFlags.filter((flag) => runs.some(({ flags }) => flags?.includes(flag))),
  };
}

/** One state for several runs: from the begin of the first to the end of the last. */
export function joinStates(states: readonly MachineState[]): MachineState {
  const sum = (of: (state: MachineState) => number): number =>
    states.reduce((total, state) => total + of(state), 0);
  const told = <T>(of: (state: MachineState) => T | null): T[] =>
    states.flatMap((state) => {
      const value = of(state);
      return value === null ? [] : [value];
    });
  const otherCores = told((state) => state.otherCores);
  const throttled = told((state) => state.throttled);
  const onMains = told((state) => state.onMains);
  return {
    temperatureStartC: states[0]?.temperatureStartC ?? null,
    temperatureEndC: states.at(-1)?.temperatureEndC ?? null,
    throttled: throttled.length === 0 ? null : throttled.includes(true),
    // One run on battery is what a reader must know.
    onMains: onMains.length === 0 ? null : !onMains.includes(false),
    governor: [...new Set(told((state) => state.governor))].join(',').slice(0, 256) || null,
    otherCores: otherCores.length === 0 ? null : round(mean(otherCores)),
    waitedMs: {
      cooling: sum(({ waitedMs }) => waitedMs.cooling),
      quiet: sum(({ waitedMs }) => waitedMs.quiet),
      serving: sum(({ waitedMs }) => waitedMs.serving),
    },
    retakenSessions: sum(({ retakenSessions }) => retakenSessions),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** To three digits behind the point. */
function round(value: number): number {
  return Math.round(value * 1e3) / 1e3;
}
