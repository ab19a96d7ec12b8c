import type { Clock } from '@fleetlora/shared/clock';
import type { JobStep, Measurement, MeasurePlan } from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import type { Machine } from '../host/ports.js';
import type { ModelFiles } from '../model/index.js';
import type { Verdict } from './explain-child.js';
import type { Killer, OomKills } from './oom-kills.js';

/** A candidate, or a batch of one shape, to measure on this device. */
export interface MeasureTask {
  /** Folder that holds both weight files, and their names in it. */
  readonly folder: string;
  readonly base: string;
  readonly adapter: string;
  readonly baseDigest: string;
  readonly adapterDigest: string;
  /** Canonical text of the first candidate. */
  readonly genome: string;
  /** Further candidates of its shape, which are compared with it in shared sessions. */
  readonly others?: readonly string[] | undefined;
  /** Canonical text of the search's sentinel, unmerged, which the first candidate is timed in turns with. */
  readonly sentinel?: string | undefined;
  /** Name of the sentinel's base file, where that is in another precision than the candidate's. */
  readonly sentinelBase?: string | undefined;
  readonly plan: MeasurePlan;
  /** Absent: metered where a sensor tells, which takes half a minute with a battery's gauge. */
  readonly energy?: 'leftOut' | undefined;
  /** Made for this task and removed with all it holds; same file system as `folder`. */
  readonly scratch: string;
  /**
   * For all child processes together. Waiting until the machine is cool, quiet and idle does not
   * count: the machine bounds each of these waits, and a device that cools is not a slow candidate.
   */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Whether the device serves completions, which would disturb a timing pass. */
export interface ServingActivity {
  /** Requests so far, the ones under way included. */
  startedRequests(): number;
  /** Resolves when none is under way. */
  whenIdle(signal?: AbortSignal): Promise<void>;
}

/** What was found: `others` in the order of the task's, absent without any. */
export interface Measured {
  readonly outcome: 'measured';
  readonly measurement: Measurement;
  readonly others?: Measurement[];
}
export type MeasureOutcome = Measured | Verdict;

/** Told of each step as it begins, and of sessions or candidates done of it. */
export type TellProgress = (step: JobStep, done?: number, of?: number) => void;

export interface MeasureDoors {
  readonly clock: Clock;
  /** Draws the seed of a batch's rounds. */
  readonly random: Random;
  readonly machine: Machine;
  readonly activity: ServingActivity;
  readonly onProgress?: TellProgress | undefined;
  readonly entries?: Partial<ChildEntries> | undefined;
  readonly readOomKills?: (() => Promise<OomKills>) | undefined;
  /** Told of a child that was killed from outside: its pass is taken again. */
  readonly onKilled?: ((step: string, killer: Killer) => void) | undefined;
  /** Told of a session that is thrown away and taken anew. */
  readonly onDisturbed?: ((session: number, reasons: readonly string[]) => void) | undefined;
}

/** Compiled modules of the child processes, one a kind of pass. */
export interface ChildEntries {
  readonly preparation: URL;
  readonly session: URL;
  readonly beside: URL;
  readonly memory: URL;
  readonly steady: URL;
}

export const ownEntries: ChildEntries = {
  preparation: new URL('./preparation-child.js', import.meta.url),
  session: new URL('./session-child.js', import.meta.url),
  beside: new URL('./beside-child.js', import.meta.url),
  memory: new URL('./memory-child.js', import.meta.url),
  steady: new URL('./steady-child.js', import.meta.url),
};

/** What the child of any pass is told; a JSON value. */
export interface PassRequest {
  readonly files: ModelFiles;
  readonly plan: MeasurePlan;
  /** Capacity of the KV cache. */
  readonly positions: number;
  readonly vocab: number;
}
