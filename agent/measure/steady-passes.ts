import type { Energy, Sustained } from '@fleetlora/shared/protocol';
import { runChild } from '../child/index.js';
import type { EnergyMeter, EnergyReading, EnergyRun } from '../host/ports.js';
import { explainChild, type Verdict } from './explain-child.js';
import type { JobPasses } from './job-passes.js';
import type { PassRequest } from './measure-task.js';
import { parseSteadyResult, type SteadyRequest, type SteadyResult } from './run-steadily.js';
import { runWatched, type WatchedRun } from './run-watched.js';

/** What continuous runs found of a candidate. */
export interface SteadyFigures {
  readonly energy?: Energy;
  readonly sustained?: Sustained;
  /** Others were busy during the run whose times are told. */
  readonly busy: boolean;
}

/** Tries of a continuous run that something disturbs. */
const TRIES = 2;
/** Counters of a processor tick a thousand times a second, a battery's gauge about once. */
const ENERGY_SECONDS = { rapl: 5, ina: 5, battery: 30 } as const;

/**
 * Energy of decode steps: the mean power while they run without a pause, times how long one takes.
 * Gross, so others' work would be in it: a run that was disturbed is taken once more, and when that
 * one was, too, nothing is told.
 * @returns null when the sensor gave nothing to trust
 */
export async function takeEnergy(
  request: PassRequest,
  meter: EnergyMeter,
  passes: JobPasses,
): Promise<Energy | Verdict | null> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const metering = createMetering(meter);
    const run = { ...request, seconds: ENERGY_SECONDS[meter.source] };
    const { outcome, began, seen, served } = await runOnce(run, 'energy', passes, metering.tell);
    const reading = await metering.reading();
    if (outcome.kind !== 'answered') return explainChild(outcome, 'energy', passes.task.timeoutMs);
    // Throttled steps cost what they cost; only the work of others does not belong to them.
    const shared = served || seen.busy || began.others === 'busy';
    if (shared || reading === null || !(reading.joules > 0 && reading.seconds > 0)) continue;
    const { steps, seconds } = outcome.answer;
    const watts = reading.joules / reading.seconds;
    return { source: meter.source, joulesPerToken: (watts * seconds) / steps, watts, tokens: steps, seconds };
  }
  return null;
}

/** A continuous run as long as the plan wants, and what its heat cost. */
export async function takeSustained(
  request: PassRequest,
  seconds: number,
  passes: JobPasses,
): Promise<Required<Pick<SteadyFigures, 'sustained' | 'busy'>> | Verdict> {
  for (let tries = 1; ; tries++) {
    const { outcome, seen, served } = await runOnce({ ...request, seconds }, 'sustained', passes);
    if (outcome.kind !== 'answered') return explainChild(outcome, 'sustained', passes.task.timeoutMs);
    if (served && tries < TRIES) continue;
    if (served)
      return {
        outcome: 'failed',
        reason: `the device served completions during ${TRIES} continuous runs, so no time is trusted`,
      };
    const { temperatureC } = await passes.doors.machine.state();
    const sustained = { ...outcome.answer, throttled: seen.throttled, temperatureEndC: temperatureC };
    return { sustained, busy: seen.busy };
  }
}

function runOnce(
  request: SteadyRequest,
  step: 'energy' | 'sustained',
  passes: JobPasses,
  onProgress: (value: unknown) => void = () => {},
): Promise<WatchedRun<SteadyResult>> {
  return runWatched(passes.doors, {
    gates: passes.gates,
    signal: passes.task.signal,
    // What heat does to it is what a continuous run is for.
    whenThrottled: 'endure',
    run(signal) {
      passes.tell(step);
      const child = { entry: passes.entries.steady, request, parse: parseSteadyResult, onProgress };
      return passes.run(step, (limits) => runChild({ ...child, ...limits }), signal);
    },
  });
}

/** Starts and stops a meter when a child says so. */
function createMetering(meter: EnergyMeter): {
  tell(value: unknown): void;
  /** After the child's end: null when it never told both ends. */
  reading(): Promise<EnergyReading | null>;
} {
  let started: Promise<EnergyRun> | null = null;
  let stopped: Promise<EnergyReading | null> | null = null;
  return {
    tell(value) {
      if (value === 'begin') {
        // A child that was killed and started again begins anew.
        started?.then((run) => run.stop());
        started = meter.start();
        stopped = null;
      } else if (value === 'end' && started) stopped = started.then((run) => run.stop());
    },
    async reading() {
      if (!stopped) await started?.then((run) => run.stop());
      return stopped;
    },
  };
}
