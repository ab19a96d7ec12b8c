import type { ChildOutcome } from '../child/index.js';
import { explainChild, type Verdict } from './explain-child.js';
import { createGates, type Gates } from './gates.js';
import {
  type ChildEntries,
  type MeasureDoors,
  type MeasureTask,
  ownEntries,
  type TellProgress,
} from './measure-task.js';
import { readOomKills } from './oom-kills.js';
import { type PassOutcome, runPass } from './run-pass.js';
import { createWorkBudget } from './work-budget.js';

/** What every child process of a job is run with. */
export interface ChildLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The passes of one job: they share its time, its gates and its way to end. */
export interface JobPasses {
  readonly task: MeasureTask;
  readonly doors: MeasureDoors;
  readonly entries: ChildEntries;
  readonly gates: Gates;
  readonly tell: TellProgress;
  /**
   * Runs a child on what is left of the job's time, and once more when it was killed for no reason
   * of its own.
   * @param step names it, should it end badly
   * @param signal ends it; the task's by default
   */
  run<T>(
    step: string,
    child: (limits: ChildLimits) => Promise<ChildOutcome<T>>,
    signal?: AbortSignal,
  ): Promise<PassOutcome<T>>;
  /** What a pass answered, or how the job ends because of it. */
  answerOf<T>(outcome: PassOutcome<T>, step: string): T | Verdict;
}

export function createJobPasses(task: MeasureTask, doors: MeasureDoors): JobPasses {
  const budget = createWorkBudget(doors.clock, task.timeoutMs);
  return {
    task,
    doors,
    entries: { ...ownEntries, ...doors.entries },
    gates: createGates(doors),
    tell: (...step) => doors.onProgress?.(...step),
    run: (step, child, signal = task.signal) =>
      runPass(() => budget.spend(() => child({ timeoutMs: budget.leftMs(), signal })), {
        readOomKills: doors.readOomKills ?? readOomKills,
        onKilled: (killer) => doors.onKilled?.(step, killer),
      }),
    answerOf: (outcome, step) =>
      outcome.kind === 'answered' ? outcome.answer : explainChild(outcome, step, task.timeoutMs),
  };
}
