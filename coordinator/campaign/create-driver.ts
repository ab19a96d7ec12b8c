import { findOutageIn, isCoded, messageOf } from '@fleetlora/shared/errors';
import type { Search } from '@fleetlora/shared/protocol';
import { createExclusive } from './exclusive.js';
import { createHostTurns } from './host-turns.js';
import type { CampaignEvaluation, CampaignFleet, IdleDevice, TrialJob } from './ports.js';
import type { ScoreTask, SearchRun } from './search-run.js';
import { summarizeRows } from './summarize-rows.js';

/** Consecutive failures of the scoring threads that end a search. */
const SCORE_ATTEMPTS = 3;

export interface CampaignLog {
  error(details: object, message: string): void;
}

/** Drives the searches that run. */
export interface Driver {
  /** Runs tasks one at a time; whatever touches runs belongs in here. */
  exclusive<T>(task: () => Promise<T>): Promise<T>;
  /** Notes a job that its device has already. Within `exclusive`, as the next three. */
  measures(job: TrialJob): void;
  add(run: SearchRun): void;
  find(searchId: string): SearchRun | undefined;
  /** Ends a run early and cancels its jobs. */
  end(run: SearchRun, state: Search['state'], reason: string | null): Promise<void>;
  close(): Promise<void>;
}

/**
 * Gives candidates to devices of their class, up to `ahead` of a search at a time, scores them,
 * and lets runs tell their strategies; looks for work at every event and whenever something has
 * ended.
 *
 * Invariant: everything that reads or changes the state of runs happens in `exclusive`, one task
 * at a time. Scoring is the only work that runs beside it; it hands its result in there.
 */
export function createDriver(options: {
  readonly fleet: CampaignFleet;
  readonly evaluation: CampaignEvaluation;
  readonly timeoutMs: number;
  readonly hostBootId: string;
  readonly log?: CampaignLog | undefined;
}): Driver {
  const { fleet, evaluation, timeoutMs, log } = options;
  const exclusive = createExclusive();
  const turns = createHostTurns(options.hostBootId);
  const runs = new Map<string, SearchRun>();
  const scoreFailures = new Map<string, number>();
  /** By device: the number of the job it got last. */
  const lastGiven = new Map<string, number>();
  let jobsGiven = 0;
  let scoring = 0;
  let rotation = 0;
  let pumpPending = false;
  let closed = false;

  const stopListening = [
    fleet.onJobEnded((job) => void act(() => takeJobEnd(job))),
    fleet.onDevicesChanged(() => pump()),
  ];

  /** Hands a task to the queue; what it throws is a defect and must not end the process. */
  function act(task: () => Promise<void>): Promise<void> {
    return exclusive(async () => {
      if (!closed) await task();
    }).catch((error: unknown) => log?.error({ err: error }, 'campaign step failed'));
  }

  /** Looks for something to do; calls before it has begun fall together. */
  function pump(): void {
    if (pumpPending) return;
    pumpPending = true;
    void act(async () => {
      pumpPending = false;
      for (const run of runs.values()) await guarded(run, () => run.settle());
      dropEnded();
      if (turns.turn() === 'score') startScores();
      await dispatch();
      startScores();
    });
  }

  /** A run that cannot go on ends as failed; the others are not touched. */
  async function guarded<T>(run: SearchRun, step: () => Promise<T>): Promise<T | null> {
    try {
      return await step();
    } catch (error) {
      // The store waits for its database and its disk, until the coordinator stops: then the search
      // is as it was, and goes on at the next start.
      if (findOutageIn(error)) throw error;
      await failRun(run, error);
      return null;
    }
  }

  async function failRun(run: SearchRun, error: unknown): Promise<void> {
    log?.error({ err: error, searchId: run.search.id }, 'search failed');
    await endRun(run, 'failed', messageOf(error));
  }

  async function endRun(run: SearchRun, state: Search['state'], reason: string | null): Promise<void> {
    runs.delete(run.search.id);
    const jobs = run.liveJobs();
    await run.end(state, reason);
    for (const jobId of jobs) {
      turns.endMeasuring(jobId);
      await fleet.cancel(jobId);
    }
  }

  function dropEnded(): void {
    for (const [id, run] of runs) {
      if (run.search.state !== 'running' && run.search.state !== 'finalizing') runs.delete(id);
    }
  }

  /** Runs in turn: whoever comes first this time comes last the next. */
  function inTurn(): SearchRun[] {
    const all = [...runs.values()];
    const from = all.length === 0 ? 0 : rotation++ % all.length;
    return [...all.slice(from), ...all.slice(0, from)];
  }

  /** Deals out jobs in rounds, one a device and search, so that all queues grow alike. */
  async function dispatch(): Promise<void> {
    const open: { readonly run: SearchRun; readonly devices: readonly IdleDevice[] }[] = [];
    for (const run of inTurn()) {
      const queue = { searchId: run.search.id, ahead: aheadOf(run) };
      open.push({ run, devices: await fleet.idleDevices(run.search.spec.deviceClass, queue) });
    }
    for (let given = true; given; ) {
      given = false;
      for (const { run, devices } of open) {
        // Devices that share a host take turns: the one that waited longest comes first.
        const idle = [...devices].sort((a, b) => (lastGiven.get(a.id) ?? 0) - (lastGiven.get(b.id) ?? 0));
        for (const [place, device] of idle.entries()) {
          if (!runs.has(run.search.id)) break;
          if (!turns.mayMeasure(device, run.search.id, aheadOf(run))) continue;
          const others = place < idle.length - 1 ? 'othersIdle' : 'noneIdle';
          if (await guarded(run, () => give(run, device, others))) given = true;
        }
      }
    }
  }

  /** Gives the device a trial of the run; false when the run has none or the device took none. */
  async function give(
    run: SearchRun,
    device: IdleDevice,
    others: 'othersIdle' | 'noneIdle',
  ): Promise<boolean> {
    const trial = await run.nextTrial(device.id, others);
    if (!trial) return false;
    const { baseDigest, adapterDigest } = run.content;
    const searchId = run.search.id;
    const body = { genome: trial.genome, baseDigest, adapterDigest, plan: run.search.spec.plan, timeoutMs };
    let jobId: string;
    try {
      jobId = await fleet.submit({
        kind: 'trial',
        searchId,
        trialIds: [trial.id],
        deviceId: device.id,
        ahead: aheadOf(run),
        body,
      });
    } catch (error) {
      // The device left, or its queue filled, since it was called idle: the trial waits for another.
      if (!isCoded(error, 'DEVICE_OFFLINE') && !isCoded(error, 'STATE_CONFLICT')) throw error;
      run.jobRefused(trial.id);
      return false;
    }
    turns.startMeasuring(device, searchId, jobId);
    lastGiven.set(device.id, ++jobsGiven);
    await run.jobStarted(trial.id, jobId, device.id);
    return true;
  }

  async function takeJobEnd(job: TrialJob): Promise<void> {
    turns.endMeasuring(job.jobId);
    const run = runs.get(job.searchId);
    if (run) await guarded(run, () => run.jobEnded(job));
    pump();
  }

  function startScores(): void {
    for (const run of inTurn()) {
      while (scoring < evaluation.parallel && turns.mayScore()) {
        const task = run.nextScore();
        if (!task) break;
        scoring++;
        turns.startScoring();
        void score(run, task);
      }
    }
  }

  async function score(run: SearchRun, task: ScoreTask): Promise<void> {
    const { id } = run.search;
    const { baseDigest, adapterDigest } = run.content;
    let failure: unknown = null;
    const rows = await evaluation
      .score({ baseDigest, adapterDigest, genome: task.genome, rows: task.rows, numbers: task.numbers })
      .catch((error: unknown) => {
        failure = error ?? 'unknown reason';
        return [];
      });
    await act(async () => {
      scoring--;
      turns.endScoring();
      run.scoreReleased(task);
      if (runs.get(id) === run) await guarded(run, () => takeScore());
      pump();
    });

    async function takeScore(): Promise<void> {
      if (failure === null) {
        scoreFailures.delete(id);
        await run.scored(task, summarizeRows(rows));
        return;
      }
      const failures = (scoreFailures.get(id) ?? 0) + 1;
      scoreFailures.set(id, failures);
      log?.error({ err: failure, searchId: id, genome: task.genome }, 'scoring failed');
      // Only what may pass by itself is tried again.
      const passing = isCoded(failure) && failure.kind === 'unavailable' && failures < SCORE_ATTEMPTS;
      if (!passing) await failRun(run, failure);
    }
  }

  return {
    exclusive,
    measures: ({ deviceId, bootId, searchId, jobId }) =>
      turns.startMeasuring({ id: deviceId, bootId }, searchId, jobId),
    add(run) {
      runs.set(run.search.id, run);
      pump();
    },
    find: (searchId) => runs.get(searchId),
    async end(run, state, reason) {
      await endRun(run, state, reason);
      pump();
    },
    async close() {
      for (const stop of stopListening) stop();
      await exclusive(async () => {
        closed = true;
      });
    },
  };
}

/** Unfinished jobs of the search that a device may have. */
const aheadOf = (run: SearchRun): number => run.search.spec.ahead ?? 1;
