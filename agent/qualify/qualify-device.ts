import { pause } from '@fleetlora/shared/node';
import type { DeviceFacts, Measurement, MeasurePlan, Qualification } from '@fleetlora/shared/protocol';
import type { Verdict } from '../measure/index.js';
import { judgeRuns } from './judge-runs.js';
import {
  type MeasureStandard,
  type StandardDoors,
  type StandardTask,
  standardPlan,
  withStandardModel,
} from './standard-files.js';
import { standardName } from './standard-model.js';

/** What a qualification is valid for. */
export type QualifiedFacts = Pick<DeviceFacts, 'agentVersion' | 'runtime' | 'provider' | 'cpuModel'>;

export interface QualifySettings {
  readonly runs: number;
  /** Between two runs. */
  readonly pauseMs: number;
  readonly facts: QualifiedFacts;
  /** By default the standard's. A shorter one gives no figure that compares. */
  readonly plan?: MeasurePlan | undefined;
}

export type QualifyTask = QualifySettings & StandardTask;

export interface QualifyDoors extends StandardDoors {
  /** Told before each run how many are done, and before a pause. */
  readonly onRun?: ((step: 'run' | 'pausing', done: number, of: number) => void) | undefined;
}

export type QualifyOutcome =
  | { readonly outcome: 'qualified'; readonly qualification: Qualification }
  | Verdict;

/**
 * Finds out whether this device gives the same figure for the same work: makes the standard
 * candidate, measures it `runs` times with a pause between, and compares the runs. A device that is
 * not accepted is qualified all the same, as unsteady. It ends with the first run that is no
 * measurement.
 * @throws DISK_FULL, DIGEST_MISMATCH: as `withStandardModel`
 */
export function qualifyDevice(task: QualifyTask, doors: QualifyDoors): Promise<QualifyOutcome> {
  return withStandardModel(task, doors, (measureStandard) =>
    takeRuns(task, measureStandard, doors.onRun, task.signal),
  );
}

/** The runs of a qualification, once the standard model is there. */
export async function takeRuns(
  { runs, pauseMs, facts, plan = standardPlan }: QualifySettings,
  measureStandard: MeasureStandard,
  onRun: QualifyDoors['onRun'],
  signal?: AbortSignal,
): Promise<QualifyOutcome> {
  const measured: Measurement[] = [];
  while (measured.length < runs) {
    if (measured.length > 0 && pauseMs > 0) {
      onRun?.('pausing', measured.length, runs);
      await pause(pauseMs, signal ? [signal] : []);
    }
    if (signal?.aborted) return { outcome: 'canceled', reason: 'canceled' };
    onRun?.('run', measured.length, runs);
    // Runs are compared by their times alone.
    const outcome = await measureStandard(plan, { energy: 'leftOut' });
    if (outcome.outcome !== 'measured') return outcome;
    measured.push(outcome.measurement);
  }
  const { agentVersion, runtime, provider, cpuModel } = facts;
  return {
    outcome: 'qualified',
    qualification: {
      ...judgeRuns(measured),
      standard: standardName,
      threads: plan.threads,
      agentVersion,
      runtime,
      provider,
      cpuModel,
    },
  };
}
