import type { MachineState, Measurement, Timing } from '@fleetlora/shared/protocol';

export const calmMachine: MachineState = {
  temperatureStartC: null,
  temperatureEndC: null,
  throttled: null,
  onMains: null,
  governor: null,
  otherCores: null,
  waitedMs: { cooling: 0, quiet: 0, serving: 0 },
  retakenSessions: 0,
};

/** A timing whose samples are all the same. */
export function steadyTiming(ms: number): Timing {
  return {
    p50Ms: ms,
    p90Ms: ms,
    established: { p50: true, p90: true, p99: false },
    n: 65,
    samplesMs: Array<number>(65).fill(ms),
    sessionSizes: [13, 13, 13, 13, 13],
    sessionMediansMs: Array<number>(5).fill(ms),
    lowMs: ms,
    highMs: ms,
    spreadPercent: 0,
    outliers: 0,
    offsetMs: 0,
  };
}

/** What a measurement of the standard candidate could look like. */
export function makeMeasurement(decodeMs: number, changes: Partial<Measurement> = {}): Measurement {
  return {
    plan: {
      promptTokens: 128,
      kvTokens: 256,
      prefillRepeats: 15,
      decodeRepeats: 65,
      threads: 1,
      sessions: 5,
    },
    runtime: 'onnxruntime-node 1.30.0',
    provider: 'cpu',
    coldLoadMs: 61,
    warmLoadMs: 33,
    prefill: steadyTiming(10 * decodeMs),
    decode: steadyTiming(decodeMs),
    baselineBytes: 55_000_000,
    peakBytes: 142_000_000,
    anonymousBytes: 90_000_000,
    memoryMethod: 'vmhwm',
    shippedBytes: 1_251_000,
    form: 'unmerged',
    machine: calmMachine,
    flags: [],
    ...changes,
  };
}
