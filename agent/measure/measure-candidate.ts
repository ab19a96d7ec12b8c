import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
import { readModelShape } from '@fleetlora/shared/graph';
import { asDiskFull, isDiskFull, makeFolder, openFileSource } from '@fleetlora/shared/node';
import {
  type Measurement,
  type MeasurePlan,
  MemoryPass,
  parseAs,
  TimingPass,
} from '@fleetlora/shared/protocol';
import { decodeGenome, type Genome } from '@fleetlora/shared/space';
import { packageSize, readAdapterFacts, readTensorFile } from '@fleetlora/shared/weights';
import { type ChildOutcome, runChild } from '../child/index.js';
import { type ModelFiles, placeBeside } from '../model/index.js';
import { checkGenomeFits, positionsOf } from './check-candidate.js';
import { explainChild, type Verdict } from './explain-child.js';
import { type Killer, type OomKills, readOomKills } from './oom-kills.js';
import { prepareMerged } from './prepare-merged.js';
import { type PassOutcome, runPass } from './run-pass.js';
import { watchAnonymous } from './watch-anonymous.js';

/** What the children of both passes are told; a JSON value. */
export interface PassRequest {
  readonly files: ModelFiles;
  readonly plan: MeasurePlan;
  readonly positions: number;
  readonly vocab: number;
}

export interface CandidateJob {
  /** Folder that holds both weight files, and their names in it. */
  readonly folder: string;
  readonly base: string;
  readonly adapter: string;
  readonly baseDigest: string;
  readonly adapterDigest: string;
  /** Canonical text. */
  readonly genome: string;
  readonly plan: MeasurePlan;
  /** Made for this candidate and removed with all it holds; same file system as `folder`. */
  readonly scratch: string;
  /** For all child processes together. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Whether the device serves completions, which would disturb a timing pass. */
export interface ServingActivity {
  /** Requests so far, the ones under way included. */
  startedRequests(): number;
  /** Resolves when none is under way. */
  whenIdle(signal?: AbortSignal): Promise<void>;
}

export type MeasureOutcome = { readonly outcome: 'measured'; readonly measurement: Measurement } | Verdict;

export interface MeasureDoors {
  readonly clock: Clock;
  readonly activity: ServingActivity;
  readonly entries?: Partial<ChildEntries>;
  readonly readOomKills?: () => Promise<OomKills>;
  /** Told of a child that was killed from outside: its pass is taken again. */
  readonly onKilled?: (step: string, killer: Killer) => void;
}

export interface ChildEntries {
  readonly preparation: URL;
  readonly timing: URL;
  readonly memory: URL;
}

const ownEntries: ChildEntries = {
  preparation: new URL('./preparation-child.js', import.meta.url),
  timing: new URL('./timing-child.js', import.meta.url),
  memory: new URL('./memory-child.js', import.meta.url),
};

/** Tries of a timing pass that completions may disturb. */
const TIMING_TRIES = 2;

/**
 * Measures one candidate on this device: merged ones are built first, then timed, then weighed,
 * each in a process of its own, one after the other.
 *
 * How it ends is a value: `infeasible` when a process crashed, found no memory, or was killed for it;
 * `rejected` when candidate and files do not fit together; `failed` for everything else.
 * @throws DISK_FULL when the scratch folder finds no space: it says nothing of the candidate, and
 *   the measurement can be begun again when there is some
 */
export async function measureCandidate(job: CandidateJob, doors: MeasureDoors): Promise<MeasureOutcome> {
  const entries = { ...ownEntries, ...doors.entries };
  const deadlineMs = doors.clock.monotonicMs() + job.timeoutMs;
  const leftMs = (): number => Math.max(1, deadlineMs - doors.clock.monotonicMs());
  try {
    const { genome, vocab, positions, unmergedBytes } = await inspect(job);
    const run = <T>(work: PassOutcome<T>, step: string) =>
      work.kind === 'answered' ? work.answer : explainChild(work, step, job.timeoutMs);
    const taken = <T>(step: string, pass: () => Promise<ChildOutcome<T>>) =>
      runPass(pass, {
        readOomKills: doors.readOomKills ?? readOomKills,
        onKilled: (killer) => doors.onKilled?.(step, killer),
      });

    await makeFolder(job.scratch);
    let files: ModelFiles = { folder: job.folder, base: job.base, overlay: job.adapter, genome: job.genome };
    let shippedBytes = unmergedBytes;
    if (genome.form === 'merged') {
      const request = {
        baseFile: join(job.folder, job.base),
        adapterFile: join(job.folder, job.adapter),
        genome: job.genome,
        baseDigest: job.baseDigest,
        adapterDigest: job.adapterDigest,
        expandedFile: join(job.scratch, 'expanded'),
      };
      const preparing = await taken('merging', () =>
        prepareMerged(request, { entry: entries.preparation, timeoutMs: leftMs(), signal: job.signal }),
      );
      if (preparing.kind === 'threw' && preparing.code === 'DISK_FULL')
        throw new CodedError('DISK_FULL', preparing.message);
      const prepared = run(preparing, 'merging');
      if ('outcome' in prepared) return prepared;
      shippedBytes = prepared.shippedBytes;
      await placeBeside(join(job.folder, job.base), join(job.scratch, 'base'));
      files = { folder: job.scratch, base: 'base', overlay: 'expanded', genome: job.genome };
    }

    const request: PassRequest = { files, plan: job.plan, positions, vocab };
    const timing = await taken('timing', () => timeUndisturbed(request, job, doors, entries.timing, leftMs));
    const timed = run(timing, 'timing');
    if ('outcome' in timed) return timed;
    const weighing = await taken('weighing', () => weigh(request, job, entries.memory, leftMs()));
    const weighed = run(weighing, 'weighing');
    if ('outcome' in weighed) return weighed;
    return { outcome: 'measured', measurement: { plan: job.plan, ...timed, ...weighed, shippedBytes } };
  } catch (error) {
    if (job.signal?.aborted) return { outcome: 'canceled', reason: 'canceled' };
    if (isDiskFull(error)) throw await asDiskFull(error, { path: job.scratch });
    const fits = !(isCoded(error) && error.kind === 'input');
    return { outcome: fits ? 'failed' : 'rejected', reason: messageOf(error) };
  } finally {
    await rm(job.scratch, { recursive: true, force: true });
  }
}

/** Reads the headers of both files and checks the candidate against them. */
async function inspect(
  job: CandidateJob,
): Promise<{ genome: Genome; vocab: number; positions: number; unmergedBytes: number }> {
  const base = await openFileSource(join(job.folder, job.base));
  try {
    const adapter = await openFileSource(join(job.folder, job.adapter));
    try {
      const shape = readModelShape(await readTensorFile(base));
      const facts = readAdapterFacts(await readTensorFile(adapter));
      const genome = decodeGenome(job.genome);
      checkGenomeFits(genome, shape, facts);
      return {
        genome,
        vocab: shape.vocab,
        positions: positionsOf(job.plan, shape),
        unmergedBytes: packageSize(genome, shape, facts),
      };
    } finally {
      await adapter.close();
    }
  } finally {
    await base.close();
  }
}

/**
 * A timing pass that starts when no completion is under way. Completions that arrive meanwhile
 * are served; the pass is then thrown away and taken once more.
 */
async function timeUndisturbed(
  request: PassRequest,
  job: CandidateJob,
  { activity }: MeasureDoors,
  entry: URL,
  leftMs: () => number,
): Promise<ChildOutcome<TimingPass>> {
  for (let tries = 1; ; tries++) {
    await activity.whenIdle(job.signal);
    const before = activity.startedRequests();
    const outcome = await runChild({
      entry,
      request,
      parse: (answer) => parseAs(TimingPass, answer, 'timing pass'),
      timeoutMs: leftMs(),
      signal: job.signal,
    });
    const disturbed = activity.startedRequests() !== before;
    if (!disturbed || outcome.kind !== 'answered') return outcome;
    if (tries === TIMING_TRIES)
      return {
        kind: 'threw',
        code: 'BUSY',
        errorKind: 'unavailable',
        message: `the device served completions during ${TIMING_TRIES} tries, so no time is trusted`,
      };
  }
}

async function weigh(
  request: PassRequest,
  job: CandidateJob,
  entry: URL,
  timeoutMs: number,
): Promise<ChildOutcome<MemoryPass>> {
  const watch = watchAnonymous();
  try {
    const outcome = await runChild({
      entry,
      request,
      parse: (answer) => parseAs(MemoryPass, answer, 'memory pass'),
      timeoutMs,
      signal: job.signal,
      onStarted: watch.begin,
      onProgress: watch.forget,
    });
    if (outcome.kind !== 'answered') return outcome;
    const { answer } = outcome;
    return {
      kind: 'answered',
      answer: { ...answer, anonymousBytes: Math.max(answer.anonymousBytes, watch.largestBytes()) },
    };
  } finally {
    watch.end();
  }
}
