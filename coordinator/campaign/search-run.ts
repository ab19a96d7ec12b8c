import type { Clock } from '@fleetlora/shared/clock';
import type { Base, Score, Search } from '@fleetlora/shared/protocol';
import { anchorGenome, digestGenome, encodeGenome, type SearchSpace } from '@fleetlora/shared/space';
import { batchSizeOf } from './batch-size.js';
import { gatherBatch } from './gather-batch.js';
import { createJobCourse } from './job-course.js';
import { isOpen, isPending, type LiveTrial, liven } from './live-trial.js';
import { isBesideSentinel, type Work } from './measure-work.js';
import type { CampaignRepository, IdleDevice, StoredSearch, StoredTrial, TrialJob } from './ports.js';
import { outcomeOf, replayStrategy } from './replay-strategy.js';
import { createScoreQueue, type ScoreTask } from './score-queue.js';
import type { SearchRows } from './search-rows.js';
import { createSentinelBook, type SentinelBook, sentinelEveryOf } from './sentinel-book.js';
import { hasFinalRound, selectFinalists, summarizeFront } from './summarize-front.js';

/** The content a search works on, resolved once. */
export interface SearchContent {
  /** A candidate runs on the file of its precision. */
  readonly base: Pick<Base, 'name' | 'files'>;
  readonly adapterDigest: string;
  readonly rows: SearchRows;
  readonly tokenizerDigest: string;
}

/** One search in memory. All methods that return promises must run one after another. */
export interface SearchRun {
  readonly search: StoredSearch;
  readonly content: SearchContent;
  readonly sentinels: Pick<SentinelBook, 'driftOf'>;
  /** Devices that measured for it or might have. */
  deviceIds(): string[];
  /** Jobs that are with devices. */
  liveJobs(): string[];
  /**
   * What to give to this device: the sentinel when it is due and there are trials for it, else
   * trials of one shape, those that failed elsewhere first; null for none now.
   * @param others whether another device of the class is idle too
   */
  nextWork(
    device: Pick<IdleDevice, 'id' | 'takesBatches'>,
    others: 'othersIdle' | 'noneIdle',
  ): Promise<Work | null>;
  /** Takes up the jobs of the search after a restart: all of them, oldest first. */
  takeUp(jobs: readonly TrialJob[]): Promise<void>;
  /** The job was stored. */
  jobStarted(job: TrialJob): Promise<void>;
  /** The device did not take the job. */
  jobRefused(work: Work): void;
  /** Takes the end of a job, at most once per job. */
  jobEnded(job: TrialJob): Promise<void>;
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
  const devicesSeen = new Set<string>();
  const scores = createScoreQueue(trials, spec, content);
  const sentinels = createSentinelBook(sentinelEveryOf(spec));
  const sentinel = encodeGenome(anchorGenome(space, 'min', 'unmerged'));
  const batchSize = batchSizeOf(spec, space);
  let exhausted = false;
  let sequence = Math.max(
    0,
    ...stored.trials.flatMap((trial) => [trial.askedSequence, trial.toldSequence ?? 0]),
  );
  let finalists: LiveTrial[] | null = null;

  const change = async (
    live: LiveTrial,
    update: Parameters<CampaignRepository['updateTrial']>[1],
  ): Promise<void> => {
    await repository.updateTrial(live.stored.id, update);
    live.stored = { ...live.stored, ...update };
  };
  const jobs = createJobCourse(byId, sentinels, change);
  const mayPropose = (): boolean => {
    if (search.state !== 'running' || exhausted || trials.length >= spec.trials) return false;
    // Proposals made without the latest results are worse: scoring may lag behind by one round.
    const waiting = trials.filter((live) => isPending(live) && live.end !== null).length;
    const measuring = trials.filter((live) => live.busy).length;
    // A batch brings several results at once, and the next one is proposed knowing all of them.
    return waiting <= Math.max(batchSize === 1 ? 1 : 0, measuring);
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
    sentinels,
    deviceIds: () => [...new Set([...devicesSeen, ...trials.flatMap(({ stored }) => stored.deviceId ?? [])])],
    liveJobs: () => [
      ...new Set(trials.flatMap(({ jobId, busy }) => (busy && jobId !== null ? [jobId] : []))),
      ...sentinels.unfinished(),
    ],

    async nextWork({ id, takesBatches }, others) {
      devicesSeen.add(id);
      if (search.state !== 'running') return null;
      // A second try belongs to another device of the class, as long as there is one to wait for.
      const alone = others === 'noneIdle' && !trials.some(({ busy }) => busy);
      const mayTry = ({ failedDevices }: LiveTrial): boolean =>
        alone ||
        !failedDevices.includes(id) ||
        [...devicesSeen].every((seen) => failedDevices.includes(seen));
      const ready = trials.find((live) => isOpen(live) && mayTry(live));
      if (!ready && !mayPropose()) return null;
      // An older agent says nothing of the spread that a drift has to be judged by.
      if (takesBatches && sentinels.isDue(id)) return { kind: 'sentinel', trialIds: [], genomes: [sentinel] };
      const head = ready ?? (await propose());
      if (!head) return null;
      const size = takesBatches ? batchSize : 1;
      const batch = await gatherBatch(head, trials, size, {
        mayTry,
        propose: async () => (mayPropose() ? propose() : null),
      });
      for (const live of batch) live.busy = true;
      return {
        kind: 'trial',
        trialIds: batch.map(({ stored }) => stored.id),
        genomes: batch.map(({ stored }) => stored.genome),
        ...(takesBatches && isBesideSentinel(spec) && { sentinel }),
      };
    },
    takeUp: jobs.takeUp,
    jobStarted: jobs.started,
    jobRefused({ trialIds }) {
      for (const trialId of trialIds) {
        const live = byId.get(trialId);
        if (live) live.busy = false;
      }
    },
    jobEnded: jobs.ended,

    nextScore: () =>
      search.state === 'running' || search.state === 'finalizing' ? scores.next(finalists) : null,
    scoreReleased: scores.released,
    async scored(task, score) {
      for (const live of scores.takersOf(task, finalists)) await change(live, { [task.stage]: score });
    },

    async settle() {
      if (search.state === 'running') {
        for (const live of trials) {
          if (!isPending(live) && !scores.needsScore(live)) continue;
          const known = scores.needsScore(live) ? scores.known(live.network) : null;
          if (known) await change(live, { score: known });
          if (isPending(live)) await tell(live);
        }
        const complete = exhausted || trials.length >= spec.trials;
        if (!complete || trials.some((live) => isPending(live) || scores.needsScore(live))) return;
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
