import type { Clock } from '@fleetlora/shared/clock';
import type { Score, Search } from '@fleetlora/shared/protocol';
import {
  decodeGenome,
  digestGenome,
  encodeGenome,
  type Genome,
  type SearchSpace,
} from '@fleetlora/shared/space';
import type { RowSet } from '../evaluation/index.js';
import type { CampaignRepository, StoredSearch, StoredTrial, TrialJob } from './ports.js';
import { outcomeOf, replayStrategy } from './replay-strategy.js';
import { rowSetOf, type SearchRows } from './search-rows.js';
import { hasFinalRound, selectFinalists, summarizeFront } from './summarize-front.js';
import type { ScoreStage } from './trial-values.js';

/** Jobs a trial gets before it counts as failed. */
const ATTEMPTS = 3;

/** The content a search works on, resolved once. */
export interface SearchContent {
  readonly baseDigest: string;
  readonly adapterDigest: string;
  readonly rows: SearchRows;
  readonly tokenizerDigest: string;
}

/**
 * Something to score. The cheap score is of a candidate's shape, since its form changes nothing
 * but rounding; the final one is of the very package that a release would ship.
 */
export interface ScoreTask {
  /** Trials of this key take the score: a shape, or a genome in the final stage. */
  readonly key: string;
  readonly genome: string;
  readonly stage: ScoreStage;
  readonly rows: RowSet;
  readonly numbers: 'slices' | 'package';
}

/** A trial at work. */
interface LiveTrial {
  stored: StoredTrial;
  readonly genome: Genome;
  readonly shape: string;
  /** A job is with a device, or is being handed over. */
  busy: boolean;
  jobId: string | null;
  /** How the device side ended; null while that is open. */
  end: { readonly state: 'finished' | 'infeasible' | 'failed' } | null;
  readonly failedDevices: string[];
}

/** One search in memory. All methods that return promises must run one after another. */
export interface SearchRun {
  readonly search: StoredSearch;
  readonly content: SearchContent;
  /** Jobs that are with devices. */
  liveJobs(): string[];
  /**
   * The trial to give to this device: one that failed elsewhere, or a new one; null for none now.
   * @param others whether another device of the class is idle too
   */
  nextTrial(deviceId: string, others: 'othersIdle' | 'noneIdle'): Promise<StoredTrial | null>;
  /** The job of the trial was stored. */
  jobStarted(trialId: string, jobId: string, deviceId: string): Promise<void>;
  /** The device did not take the job. */
  jobRefused(trialId: string): void;
  /** Takes the end of a job, at most once per job; false when it was not wanted. */
  jobEnded(job: TrialJob): Promise<boolean>;
  nextScore(): ScoreTask | null;
  scoreReleased(task: ScoreTask): void;
  scored(task: ScoreTask, score: Score): Promise<void>;
  /** Tells the strategy what can be told and moves the search on when everything is done. */
  settle(): Promise<void>;
  end(state: Search['state'], reason: string | null): Promise<void>;
}

/**
 * Rebuilds a search from its rows (none for a new one). The state of a trial lies in its row
 * before anything acts on it: a crash between any two steps loses no more than work under way.
 */
export function createSearchRun(
  stored: { readonly search: StoredSearch; readonly trials: readonly StoredTrial[] },
  space: SearchSpace,
  content: SearchContent,
  deps: {
    readonly repository: CampaignRepository;
    readonly clock: Clock;
    readonly newId: (prefix: string) => string;
  },
): SearchRun {
  const { repository } = deps;
  const { spec } = stored.search;
  const strategy = replayStrategy(spec, space, stored.trials);
  let search = stored.search;
  const trials = stored.trials.map(liven);
  const byId = new Map(trials.map((live) => [live.stored.id, live]));
  const endedJobs = new Set<string>();
  const devicesSeen = new Set<string>();
  const scoring = new Set<string>();
  let exhausted = false;
  let sequence = Math.max(
    0,
    ...stored.trials.flatMap((trial) => [trial.askedSequence, trial.toldSequence ?? 0]),
  );
  let finalists: LiveTrial[] | null = null;

  const isPending = (live: LiveTrial): boolean => live.stored.toldSequence === null;
  const change = async (
    live: LiveTrial,
    update: Parameters<CampaignRepository['updateTrial']>[1],
  ): Promise<void> => {
    await repository.updateTrial(live.stored.id, update);
    live.stored = { ...live.stored, ...update };
  };
  /** A shape is scored once; every trial that has it takes a copy. */
  const knownScore = (shape: string): Score | null =>
    trials.find((live) => live.shape === shape && live.stored.score)?.stored.score ?? null;
  const keyOf = (live: LiveTrial, stage: ScoreStage): string =>
    stage === 'score' ? live.shape : live.stored.genome;
  const needsScore = (live: LiveTrial): boolean =>
    live.stored.score === null &&
    // Relative constraints refer to the full network even where no device can run it.
    (live.stored.label !== null || (isPending(live) && (live.end === null || live.end.state === 'finished')));

  const mayPropose = (): boolean => {
    if (search.state !== 'running' || exhausted || trials.length >= spec.trials) return false;
    // Proposals made without the latest results are worse: scoring may lag behind by one round.
    const waiting = trials.filter((live) => isPending(live) && live.end !== null).length;
    const measuring = trials.filter((live) => live.busy).length;
    return waiting <= Math.max(1, measuring);
  };

  const propose = async (): Promise<LiveTrial | null> => {
    const proposal = strategy.ask();
    if (!proposal) {
      exhausted = true;
      return null;
    }
    const trial: StoredTrial = {
      id: deps.newId('trl'),
      searchId: search.id,
      number: trials.length + 1,
      label: proposal.label,
      genome: encodeGenome(proposal.genome),
      genomeDigest: digestGenome(proposal.genome),
      state: 'pending',
      deviceId: null,
      score: null,
      finalScore: null,
      measurement: null,
      correction: null,
      reason: null,
      askedSequence: ++sequence,
      toldSequence: null,
      createdAtMs: deps.clock.nowMs(),
    };
    await repository.insertTrial(trial);
    const live = liven(trial);
    trials.push(live);
    byId.set(trial.id, live);
    return live;
  };

  const tell = async (live: LiveTrial): Promise<void> => {
    const { end } = live;
    if (!end || (end.state === 'finished' && !live.stored.score)) return;
    await change(live, { state: end.state, toldSequence: ++sequence });
    strategy.tell(live.genome, outcomeOf(spec, live.stored));
  };

  const end = async (state: Search['state'], reason: string | null): Promise<void> => {
    const { choice } = summarizeFront(
      spec,
      trials.map(({ stored }) => stored),
      state === 'finished' && hasFinalRound(spec) ? 'finalScore' : 'score',
    );
    const update = {
      state,
      reason,
      chosenTrialId: choice.id,
      chosenReason: choice.reason,
      endedAtMs: deps.clock.nowMs(),
    };
    for (const live of trials) {
      if (isPending(live) && live.stored.state === 'pending')
        await change(live, { state: 'failed', reason: `the search ended as ${state} before this trial did` });
    }
    await repository.updateSearch(search.id, update);
    search = { ...search, ...update };
  };

  const finish = async (): Promise<void> => {
    if (trials.some(({ stored }) => stored.state === 'finished')) return end('finished', null);
    const reason = trials.find(({ stored }) => stored.reason)?.stored.reason ?? 'no candidate was proposed';
    await end('failed', `not one candidate could be measured; the first: ${reason}`);
  };

  return {
    get search() {
      return search;
    },
    content,
    liveJobs: () => trials.flatMap(({ jobId, busy }) => (busy && jobId !== null ? [jobId] : [])),

    async nextTrial(deviceId, others) {
      devicesSeen.add(deviceId);
      if (search.state !== 'running') return null;
      const open = trials.filter((live) => isPending(live) && !live.busy && live.end === null);
      // A second try belongs to another device of the class, as long as there is one to wait for.
      const alone = others === 'noneIdle' && !trials.some(({ busy }) => busy);
      const mayTry = ({ failedDevices }: LiveTrial): boolean =>
        alone ||
        !failedDevices.includes(deviceId) ||
        [...devicesSeen].every((seen) => failedDevices.includes(seen));
      const live = open.find(mayTry) ?? (mayPropose() ? await propose() : null);
      if (!live) return null;
      live.busy = true;
      return live.stored;
    },
    async jobStarted(trialId, jobId, deviceId) {
      const live = byId.get(trialId);
      if (!live) return;
      live.busy = true;
      live.jobId = jobId;
      await change(live, { deviceId });
    },
    jobRefused(trialId) {
      const live = byId.get(trialId);
      if (live) live.busy = false;
    },
    async jobEnded(job) {
      const [trialId = ''] = job.trialIds;
      const live = byId.get(trialId);
      if (!live || !job.end || endedJobs.has(job.jobId)) return false;
      endedJobs.add(job.jobId);
      if (live.jobId === job.jobId || live.jobId === null) {
        live.busy = false;
        live.jobId = null;
      }
      if (live.end !== null || !isPending(live)) return false;
      if (job.end.outcome === 'measured') {
        const [measurement = null] = job.end.measurements;
        await change(live, { measurement, deviceId: job.deviceId });
        live.end = { state: 'finished' };
      } else if (job.end.outcome === 'infeasible') {
        await change(live, { reason: job.end.reason, deviceId: job.deviceId });
        live.end = { state: 'infeasible' };
      } else if (job.end.outcome !== 'postponed') {
        live.failedDevices.push(job.deviceId);
        if (live.failedDevices.length >= ATTEMPTS) {
          await change(live, {
            reason: `${ATTEMPTS} attempts ended with ${job.end.outcome}: ${job.end.reason}`,
          });
          live.end = { state: 'failed' };
        }
      }
      return true;
    },

    nextScore() {
      const stage: ScoreStage = finalists ? 'finalScore' : 'score';
      if (search.state !== 'running' && search.state !== 'finalizing') return null;
      const wanting = finalists
        ? finalists.filter(({ stored }) => !stored.finalScore)
        : trials.filter(needsScore);
      const live = wanting.find((trial) => !scoring.has(keyOf(trial, stage)));
      if (!live) return null;
      const key = keyOf(live, stage);
      scoring.add(key);
      const numbers = stage === 'score' ? 'slices' : 'package';
      return {
        key,
        genome: live.stored.genome,
        stage,
        rows: rowSetOf(stage, content.rows, spec, content.tokenizerDigest),
        numbers,
      };
    },
    scoreReleased(task) {
      scoring.delete(task.key);
    },
    async scored(task, score) {
      const wanting = task.stage === 'finalScore' ? (finalists ?? []) : trials.filter(needsScore);
      for (const live of wanting)
        if (keyOf(live, task.stage) === task.key) await change(live, { [task.stage]: score });
    },

    async settle() {
      if (search.state === 'running') {
        for (const live of trials) {
          if (!isPending(live) && !needsScore(live)) continue;
          const known = needsScore(live) ? knownScore(live.shape) : null;
          if (known) await change(live, { score: known });
          if (isPending(live)) await tell(live);
        }
        const complete = exhausted || trials.length >= spec.trials;
        if (!complete || trials.some((live) => isPending(live) || needsScore(live))) return;
        if (!hasFinalRound(spec) || !trials.some(({ stored }) => stored.state === 'finished'))
          return finish();
        await repository.updateSearch(search.id, { state: 'finalizing' });
        search = { ...search, state: 'finalizing' };
      }
      if (search.state !== 'finalizing') return;
      finalists ??= selectFinalists(
        spec,
        trials.map(({ stored }) => stored),
      ).map(({ id }) => byId.get(id) as LiveTrial);
      if (finalists.every(({ stored }) => stored.finalScore)) await finish();
    },
    end,
  };
}

function liven(trial: StoredTrial): LiveTrial {
  const genome = decodeGenome(trial.genome);
  const ended = trial.state !== 'pending' ? trial.state : trial.measurement ? 'finished' : null;
  return {
    stored: trial,
    genome,
    shape: encodeGenome({ ...genome, form: 'unmerged' }),
    busy: false,
    jobId: null,
    end: ended && { state: ended },
    failedDevices: [],
  };
}
