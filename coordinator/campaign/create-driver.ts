import { findOutageIn, isCoded, messageOf } from '@fleetlora/shared/errors';
import { baseDigestFor, type Search } from '@fleetlora/shared/protocol';
import type { HostLease } from '../host/index.js';
import { createExclusive } from './exclusive.js';
import { aheadOf, createJobGiver, type Refusal } from './job-giver.js';
import type { CampaignEvaluation, CampaignFleet, IdleDevice, TrialJob } from './ports.js';
import type { ScoreTask } from './score-queue.js';
import type { SearchRun } from './search-run.js';
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
  /** Why a running search may use none of the idle devices, told of one; null when it may, or has none. */
  refusalOf(searchId: string): Refusal | null;
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
 * at a time. Scoring is the only work that runs beside it, in turns with the measurements on this
 * machine (the host's lease sees to that); it hands its result in there.
 *
 * A device on this machine gets nothing new while something is scored: it would have to wait in any
 * case, and the score may change what is proposed. So that neither keeps the other out, whoever did
 * not go last goes first, and no score is begun while such a device waits for the last one's end.
 */
export function createDriver(options: {
  readonly fleet: CampaignFleet;
  readonly evaluation: CampaignEvaluation;
  readonly timeoutMs: number;
  readonly host: Pick<HostLease, 'during' | 'measuring'>;
  readonly log?: CampaignLog | undefined;
}): Driver {
  const { fleet, evaluation, timeoutMs, host, log } = options;
  const exclusive = createExclusive();
  const giver = createJobGiver(fleet, timeoutMs);
  const runs = new Map<string, SearchRun>();
  const scoreFailures = new Map<string, number>();
  let scoring = 0;
  let rotation = 0;
  let turn: 'measure' | 'score' = 'score';
  let heldBack = false;
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
      await dropEnded();
      if (turn === 'score') startScores();
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
    await cancelAll(jobs);
  }

  async function cancelAll(jobs: readonly string[]): Promise<void> {
    for (const jobId of jobs) {
      giver.ended(jobId);
      await fleet.cancel(jobId);
    }
  }

  async function dropEnded(): Promise<void> {
    for (const [id, run] of runs) {
      if (run.search.state === 'running') continue;
      // A sentinel that a device was given while another measured the last trial.
      await cancelAll(run.liveJobs());
      if (run.search.state !== 'finalizing') runs.delete(id);
    }
  }

  /** Runs in turn: whoever comes first this time comes last the next. */
  function inTurn(): SearchRun[] {
    const all = [...runs.values()];
    const from = all.length === 0 ? 0 : rotation++ % all.length;
    return [...all.slice(from), ...all.slice(0, from)];
  }

  const isHere = ({ bootId }: IdleDevice): boolean => bootId !== '' && bootId === host.measuring.bootId;

  /** Deals out jobs in rounds, one a device and search, so that all queues grow alike. */
  async function dispatch(): Promise<void> {
    heldBack = false;
    const open: { readonly run: SearchRun; readonly devices: readonly IdleDevice[] }[] = [];
    for (const run of inTurn()) {
      const queue = { searchId: run.search.id, ahead: aheadOf(run) };
      const idle = await fleet.idleDevices(run.search.spec.deviceClass, queue);
      open.push({ run, devices: giver.admitted(run, idle) });
    }
    for (let given = true; given; ) {
      given = false;
      for (const { run, devices } of open) {
        // Devices that share a host take turns: the one that waited longest comes first.
        const idle = giver.inTurn(devices);
        for (const [place, device] of idle.entries()) {
          if (!runs.has(run.search.id)) break;
          if (!giver.hasRoom(run, device)) continue;
          if (isHere(device) && scoring > 0) {
            heldBack = true;
            continue;
          }
          const others = place < idle.length - 1 ? 'othersIdle' : 'noneIdle';
          if (!(await guarded(run, () => giver.give(run, device, others)))) continue;
          given = true;
          if (isHere(device)) turn = 'score';
        }
      }
    }
  }

  async function takeJobEnd(job: TrialJob): Promise<void> {
    giver.ended(job.jobId);
    const run = runs.get(job.searchId);
    if (run) {
      await guarded(run, async () => {
        await run.jobEnded(job);
        const drift = job.kind === 'sentinel' ? run.sentinels.driftOf(job.deviceId) : null;
        if (drift !== null) await fleet.quarantine(job.deviceId, drift.reason);
      });
    }
    pump();
  }

  function startScores(): void {
    if (turn === 'measure' && heldBack) return;
    for (const run of inTurn()) {
      while (scoring < evaluation.parallel) {
        const task = run.nextScore();
        if (!task) break;
        scoring++;
        turn = 'measure';
        void score(run, task);
      }
    }
  }

  async function score(run: SearchRun, task: ScoreTask): Promise<void> {
    const { id } = run.search;
    const { base, adapterDigest } = run.content;
    let failure: unknown = null;
    const { genome, rows: set, numbers } = task;
    const isWanted = (): boolean => runs.get(id) === run;
    const rows = await host
      .during('score', async () =>
        isWanted()
          ? evaluation.score({
              baseDigest: baseDigestFor(base, genome),
              adapterDigest,
              genome,
              rows: set,
              numbers,
            })
          : [],
      )
      .catch((error: unknown) => {
        failure = error ?? 'unknown reason';
        return [];
      });
    await act(async () => {
      scoring--;
      run.scoreReleased(task);
      if (isWanted()) await guarded(run, () => takeScore());
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
    measures: giver.has,
    add(run) {
      runs.set(run.search.id, run);
      pump();
    },
    find: (searchId) => runs.get(searchId),
    refusalOf: giver.refusalOf,
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
