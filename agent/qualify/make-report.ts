import { hostname, userInfo } from 'node:os';
import type { Clock } from '@fleetlora/shared/clock';
import {
  type DeviceFacts,
  DeviceReport,
  deviceReportFormat,
  type Infeasible,
  type MeasurePlan,
  parseAs,
  qualificationRuns,
} from '@fleetlora/shared/protocol';
import type { Machine } from '../host/index.js';
import type { Verdict } from '../measure/index.js';
import { takeRuns } from './qualify-device.js';
import { readHardware } from './read-hardware.js';
import { readSensors, readSoftware } from './read-sensors.js';
import { redact } from './redact.js';
import { type Measure, type StandardTask, standardPlan, withStandardModel } from './standard-files.js';
import { standardName } from './standard-model.js';

/** How much a report measures. */
export interface ReportExtent {
  readonly quick: boolean;
  readonly runs: number;
  readonly pauseMs: number;
  /** Of qualification and benchmark but for threads and the sustained run. */
  readonly plan: MeasurePlan;
  readonly sustainedSeconds: number;
}

export const fullExtent: ReportExtent = {
  quick: false,
  runs: qualificationRuns,
  pauseMs: 5000,
  plan: standardPlan,
  sustainedSeconds: 20,
};

/** Shows that everything works, in a tenth of the time; its figures compare with nothing. */
export const quickExtent: ReportExtent = {
  quick: true,
  runs: 2,
  pauseMs: 0,
  plan: { ...standardPlan, prefillRepeats: 4, decodeRepeats: 22, sessions: 2 },
  sustainedSeconds: 2,
};

export interface ReportTask extends StandardTask {
  readonly extent: ReportExtent;
  readonly facts: DeviceFacts;
  /** Root of the file system, another one for recorded machines. */
  readonly root?: string | undefined;
}

export interface ReportDoors {
  readonly clock: Clock;
  readonly machine: Machine;
  readonly measure: Measure;
  /** Told before each part. */
  readonly onPart?: ((part: string) => void) | undefined;
}

export type ReportOutcome = { readonly outcome: 'reported'; readonly report: DeviceReport } | Verdict;

/** The largest number of threads that a plan may ask for. */
const MAX_THREADS = 256;

/**
 * Looks at this machine, qualifies it, and measures the standard candidate with one thread and
 * with one on each core. That the candidate is infeasible here is a finding and reported; whatever
 * else ends a measurement ends the report.
 * @throws DISK_FULL, DIGEST_MISMATCH: as `withStandardModel`
 */
export async function makeReport(task: ReportTask, doors: ReportDoors): Promise<ReportOutcome> {
  const { extent, facts, signal, root = '/' } = task;
  const { machine, onPart } = doors;
  onPart?.('looking at the machine');
  const about = {
    hardware: await readHardware({ facts, root }),
    software: await readSoftware({ ...facts, os: hideNames(facts.os) }, root),
    sensors: await readSensors(machine, root),
  };
  onPart?.('making the standard model');
  const measured = await withStandardModel(task, doors, async (measureStandard) => {
    const onRun = (step: string, done: number, of: number): void =>
      onPart?.(
        step === 'pausing' ? `pausing after run ${done} of ${of}` : `qualification: run ${done + 1} of ${of}`,
      );
    const steady = await takeRuns({ ...extent, facts }, measureStandard, onRun, signal);
    if (steady.outcome !== 'qualified') return steady;
    const benchmark: DeviceReport['benchmark'] = [];
    for (const threads of threadsOf(about.hardware.cores)) {
      onPart?.(`benchmark: ${threads === 1 ? '1 thread' : `${threads} threads`}`);
      const plan = { ...extent.plan, threads, sustainedSeconds: extent.sustainedSeconds };
      const outcome = await measureStandard(plan);
      if (outcome.outcome !== 'measured' && outcome.outcome !== 'infeasible') return outcome;
      const result = outcome.outcome === 'measured' ? outcome.measurement : infeasibleFor(outcome);
      benchmark.push({ standard: standardName, threads, result });
    }
    return { outcome: 'reported' as const, qualification: steady.qualification, benchmark };
  });
  if (measured.outcome === 'infeasible') {
    const infeasible = infeasibleFor(measured);
    const benchmark = [{ standard: standardName, threads: 1, result: infeasible }];
    return finish({ ...about, qualification: infeasible, benchmark });
  }
  if (measured.outcome !== 'reported') return measured;
  const { qualification, benchmark } = measured;
  return finish({ ...about, qualification, benchmark });

  function finish(parts: Omit<DeviceReport, 'format' | 'version' | 'day' | 'quick'>): ReportOutcome {
    const report = {
      format: deviceReportFormat,
      version: 1,
      day: new Date(doors.clock.nowMs()).toISOString().slice(0, 10),
      quick: extent.quick,
      ...parts,
    };
    return { outcome: 'reported', report: parseAs(DeviceReport, report, 'report') };
  }
}

/** The file's text: indented JSON, with a list of numbers on one line, so that people can read it, too. */
export function formatReport(report: DeviceReport): string {
  // A line break cannot be part of a string of JSON, so only lists of numbers match.
  const numbers = /\[\n\s+(-?[\d.e+-]+(?:,\n\s+-?[\d.e+-]+)*)\n\s+\]/g;
  const text = JSON.stringify(report, null, 2);
  return `${text.replace(numbers, (_list, inner: string) => `[${inner.replace(/\n\s+/g, ' ')}]`)}\n`;
}

function threadsOf(cores: number): number[] {
  return cores === 1 ? [1] : [1, Math.min(cores, MAX_THREADS)];
}

function infeasibleFor({ reason }: Verdict): Infeasible {
  return { infeasible: hideNames(reason).slice(0, 4000) };
}

/** The only free texts of a report: a kernel may be named by who built it, a reason may name a file. */
function hideNames(text: string): string {
  return redact(text, [hostname(), userNameOf()]);
}

function userNameOf(): string {
  try {
    return userInfo().username;
  } catch {
    // A process of a container may have a user id that has no name.
    return '';
  }
}
