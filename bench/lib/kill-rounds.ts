import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@fleetlora/shared/errors';
import type { Training } from '@fleetlora/shared/protocol';
import type { Random } from '@fleetlora/shared/random';
import { createKillLedger, type KillCounts } from './kill-ledger.js';
import type { KillModels } from './kill-models.js';
import { isBusy, keepSearching, queuedAtLeast, stuckMs } from './kill-searches.js';
import { type KillableFleet, within } from './killable-fleet.js';
import { findChildren, killAndWait, readProcess } from './process-tree.js';
import type { StoredRows, StoreView } from './store-view.js';
import { startTrainingWatch, type TrainingWatch } from './training-watch.js';

export const victims = ['coordinator', 'agent', 'measuring child', 'training worker'] as const;
export type Victim = (typeof victims)[number];

/** Strikes fall within this time after the queue was found full: longer than a job takes. */
const LONGEST_DELAY_MS = 1500;
/** Kills in a row that may fall into another moment than the wanted one. */
const MISSES_A_ROUND = 8;

const measuringPrograms = ['preparation-child', 'session-child', 'memory-child'];
const trainingProgram = ['training-child'];

export interface KillInput {
  readonly victims: readonly Victim[];
  /** Strikes of each. */
  readonly rounds: number;
  /** Trials of a search; kills go on over as many searches as they need. */
  readonly trials: number;
  readonly fleet: KillableFleet;
  readonly view: StoreView;
  readonly models: KillModels;
  readonly random: Random;
  say(text: string): void;
}

/** What the kills of one kind of process did. */
export interface VictimResult extends KillCounts {
  readonly victim: Victim;
  readonly rounds: number;
  /** Kills of a working process while at least ten jobs were queued and one was with the device. */
  readonly struck: number;
  /** Kills that fell into another moment. Their consequences are counted all the same. */
  readonly otherKills: number;
  /** Steps whose loss was compared with the undisturbed training's. */
  readonly comparedSteps: number;
  /** Trainings that ended with the same adapter file as the undisturbed one, byte for byte. */
  readonly equalAdapters: string;
  readonly seconds: number;
}

export interface KillResult {
  readonly processes: readonly VictimResult[];
  readonly searches: number;
  /** What went wrong, in words. */
  readonly findings: readonly string[];
}

interface Strike {
  readonly pid: number;
  /** Wall-clock time at which it fell. */
  readonly atMs: number;
  /** The process had used the processor. */
  readonly worked: boolean;
  readonly training: Training | null;
}

/**
 * Kills one kind of process after the other at random moments of a search, each time while it
 * works and jobs wait, and waits until the work goes on. Searches and trainings run to their end.
 */
export async function killInRounds(input: KillInput): Promise<KillResult> {
  const { fleet, view } = input;
  const { base, dataset, space, training } = input.models;
  const ledger = createKillLedger();
  const stick = (text: string): void => ledger.stick(`${text}\n${fleet.recentLog()}`);
  const searches = keepSearching({ ...input, ledger, stick });
  const stages = new Map<Victim, Omit<VictimResult, keyof KillCounts>>();

  for (const victim of input.victims) {
    ledger.begin(victim, fleet.events.all.length);
    const startedMs = performance.now();
    const trainings =
      victim === 'training worker'
        ? await startTrainingWatch(fleet, { base, dataset, space, options: training })
        : null;
    let kills: { struck: number; otherKills: number };
    try {
      kills = await killOne(victim, trainings);
      if (trainings && !(await trainings.finish())) stick('the last training does not end');
    } finally {
      await trainings?.stop();
    }
    if (trainings) for (const text of trainings.differences) ledger.repeat(text);
    stages.set(victim, {
      victim,
      rounds: input.rounds,
      ...kills,
      comparedSteps: trainings?.counts.comparedSteps ?? 0,
      equalAdapters: trainings ? `${trainings.counts.equalAdapters} of ${trainings.counts.ended}` : '-',
      seconds: Math.round((performance.now() - startedMs) / 1000),
    });
  }
  await searches.finish();
  return {
    processes: [...stages.values()].map((stage) => ({
      ...stage,
      ...ledger.count(stage.victim, fleet.events.all),
    })),
    searches: searches.count(),
    findings: ledger.findings,
  };

  async function killOne(
    victim: Victim,
    trainings: TrainingWatch | null,
  ): Promise<{ struck: number; otherKills: number }> {
    let [struck, otherKills, misses] = [0, 0, 0];
    while (struck < input.rounds && misses <= MISSES_A_ROUND) {
      const searchId = await searches.busy();
      const from = fleet.events.all.length;
      const strike = await strikeOnce(victim, trainings);
      if (strike === null) continue;
      const rows = await view.read(searchId);
      ledger.look(searchId, rows);
      if (victim === 'coordinator' || victim === 'agent') await fleet.start(victim);
      if (!(await untilGoesOn(strike, from))) stick(`nothing new after the kill of pid ${strike.pid}`);
      // A child that had answered already and was only ending is no loss to the agent.
      const felt =
        victim !== 'measuring child' || fleet.events.all.slice(from).some(({ kind }) => kind === 'killed');
      const { queued, sent } = countJobs(rows);
      if (strike.worked && felt && queued >= queuedAtLeast && sent === 1) {
        struck++;
        misses = 0;
        input.say(`${victim} ${struck}: killed pid ${strike.pid} with ${queued} jobs queued, ${sent} sent`);
      } else {
        otherKills++;
        misses++;
      }
    }
    if (struck < input.rounds) stick(`${misses} kills in a row did not strike a busy process`);
    return { struck, otherKills };
  }

  /** Strikes at a random moment; null when the wanted state was over before. */
  async function strikeOnce(victim: Victim, trainings: TrainingWatch | null): Promise<Strike | null> {
    const before = trainings && (await runningTraining(trainings));
    // A training must not end meanwhile.
    const longestMs = Math.min(LONGEST_DELAY_MS, 500 * (before?.etaSeconds ?? Number.POSITIVE_INFINITY));
    await sleep(input.random.next() * longestMs);
    const pid = await findVictim(victim, fleet);
    if (pid === null || !(await isBusy(fleet))) return null;
    const training = trainings && (await trainings.current());
    if (training?.id !== before?.id) return null;
    const state = await readProcess(pid);
    if (state === null || state.state === 'Z') return null;
    const atMs = Date.now();
    if (victim === 'coordinator' || victim === 'agent') await fleet.kill(victim);
    else await killAndWait(pid);
    return { pid, atMs, worked: state.cpuSeconds > 0, training };
  }

  /** Waits for what shows that the work goes on: a training step, or a result of after the kill. */
  async function untilGoesOn({ atMs, training }: Strike, from: number): Promise<boolean> {
    if (training !== null) {
      const show = () => fleet.call<Training>(`GET /v1/trainings/${training.id}`);
      const further = ({ step, state }: Training) => step > training.step || state !== 'running';
      return (await within(stuckMs, show, further, 20)) !== null;
    }
    const { events } = fleet;
    const measured = await events.next(
      from,
      (event) => event.kind === 'measured' && event.atMs > atMs,
      stuckMs,
    );
    if (measured === null) return false;
    const acknowledged = await events.next(
      from,
      (event) => event.kind === 'acknowledged' && event.jobId === measured.jobId,
      stuckMs,
    );
    return acknowledged !== null;
  }
}

function countJobs({ jobs }: StoredRows): { readonly queued: number; readonly sent: number } {
  const inState = (wanted: string): number => jobs.filter(({ state }) => state === wanted).length;
  return { queued: inState('QUEUED'), sent: inState('SENT') };
}

/** A training that has left a checkpoint and has steps to come. */
async function runningTraining(trainings: TrainingWatch): Promise<Training> {
  const isUnderWay = ({ step, options }: Training): boolean =>
    step > options.checkpointEverySteps && step < options.steps * 0.7;
  const found = await within(stuckMs, () => trainings.current(), isUnderWay, 20);
  if (found === null) throw new CodedError('CHILD_FAILED', 'no training gets as far as its first checkpoint');
  return found;
}

/** Null when no such process works for a while. */
async function findVictim(victim: Victim, fleet: KillableFleet): Promise<number | null> {
  if (victim === 'coordinator' || victim === 'agent') return fleet.pidOf(victim);
  const [parent, programs] =
    victim === 'measuring child'
      ? ([fleet.pidOf('agent'), measuringPrograms] as const)
      : ([fleet.pidOf('coordinator'), trainingProgram] as const);
  const found = await within(
    5000,
    () => findChildren(parent, programs),
    (pids) => pids.length > 0,
    5,
  );
  return found?.[0] ?? null;
}
