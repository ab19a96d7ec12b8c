import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, findOutageIn, messageOf } from '@fleetlora/shared/errors';
import type { Dataset, Front, Search, SearchStart, Trial, TrialComparison } from '@fleetlora/shared/protocol';
import { bindSearchSpace, spaceModelOf } from '@fleetlora/shared/space';
import type { HostLease } from '../host/index.js';
import { checkSearchStart } from './check-search-start.js';
import { compareTrials } from './compare-trials.js';
import { type CampaignLog, createDriver } from './create-driver.js';
import { findMeasuredTrial } from './find-measured-trial.js';
import type { MeasuredBy } from './list-measure-notices.js';
import { listNotices } from './list-notices.js';
import type {
  CampaignEvaluation,
  CampaignFleet,
  CampaignModels,
  CampaignRepository,
  StoredSearch,
  StoredTrial,
} from './ports.js';
import { chooseSearchRows, type SearchRows } from './search-rows.js';
import { createSearchRun, type SearchContent, type SearchRun } from './search-run.js';
import { createSentinelBook, sentinelEveryOf } from './sentinel-book.js';
import { reportedStage, summarizeFront } from './summarize-front.js';

/** Downloads of base and super-adapter before a device's first job count in. */
const JOB_TIMEOUT_MS = 15 * 60_000;

export interface Campaign {
  /**
   * Starts a search and returns it.
   * @throws NOT_FOUND (adapter, data set), ALREADY_EXISTS (name), BAD_REQUEST (constraint, rows),
   *   SPACE_INVALID (the space does not fit the adapter or the model)
   */
  start(spec: SearchStart): Promise<Search>;
  list(): Promise<Search[]>;
  /** @throws NOT_FOUND, as do the next three */
  show(idOrName: string): Promise<Search>;
  trials(idOrName: string): Promise<Trial[]>;
  /** The front so far, or the final one. */
  front(idOrName: string): Promise<Front>;
  /**
   * By how much the second trial's costs differ from the first's.
   * @param a, @param b SEARCH:TRIAL, each an id or a name; a trial's name is its label or number
   * @throws BAD_REQUEST (no such form, one trial twice), NOT_FOUND, STATE_CONFLICT (not measured),
   *   NOT_COMPARABLE
   */
  compare(a: string, b: string): Promise<TrialComparison>;
  /** Ends a search early and cancels its jobs. @throws STATE_CONFLICT when it is over */
  stop(idOrName: string): Promise<Search>;
  /** Takes up the searches that were running when the process ended. Called once, at the start. */
  resume(): Promise<void>;
  /** Stops acting; searches go on at the next `resume`. */
  close(): Promise<void>;
}

export interface CampaignOptions {
  readonly repository: CampaignRepository;
  readonly fleet: CampaignFleet;
  readonly evaluation: CampaignEvaluation;
  readonly models: CampaignModels;
  readonly clock: Clock;
  /** Makes ids such as srch_… and trl_… from their prefix. */
  readonly newId: (prefix: string) => string;
  /** Scoring takes turns with measurements on this machine. */
  readonly host: Pick<HostLease, 'during' | 'measuring'>;
  readonly jobTimeoutMs?: number;
  readonly log?: CampaignLog;
}

/** Starts, shows, stops and resumes searches; a driver runs them. */
export function createCampaign(options: CampaignOptions): Campaign {
  const { repository, fleet, evaluation, models, clock, newId } = options;
  const timeoutMs = options.jobTimeoutMs ?? JOB_TIMEOUT_MS;
  const driver = createDriver({
    fleet,
    evaluation,
    timeoutMs,
    host: options.host,
    log: options.log,
  });
  const { exclusive } = driver;

  async function load(search: StoredSearch): Promise<SearchRun> {
    const adapter = await models.findAdapter(search.adapterId);
    const base = await models.findBase(adapter.baseId);
    const dataset = await models.findDataset(search.datasetId);
    const content: SearchContent = {
      base,
      adapterDigest: adapter.digest,
      rows: chooseSearchRows(models, dataset, search.spec),
      tokenizerDigest: base.tokenizerDigest,
    };
    const space = bindSearchSpace(search.space, spaceModelOf(base));
    const trials = await repository.listTrials(search.id);
    const run = createSearchRun({ search, trials }, space, content, { repository, clock, newId });
    const jobs = await fleet.jobsOfSearch(search.id);
    for (const job of jobs) if (job.end === null) driver.measures(job);
    await run.takeUp(jobs);
    return run;
  }

  async function find(idOrName: string): Promise<StoredSearch> {
    const search = await repository.findSearch(idOrName);
    if (!search) throw new CodedError('NOT_FOUND', `there is no search "${idOrName}"`);
    return search;
  }

  async function dataOf(search: StoredSearch): Promise<{ dataset: Dataset; rows: SearchRows }> {
    const dataset = await models.findDataset(search.datasetId);
    return { dataset, rows: chooseSearchRows(models, dataset, search.spec) };
  }

  async function measuredBy(search: StoredSearch, trials: readonly StoredTrial[]): Promise<MeasuredBy> {
    const book = createSentinelBook(sentinelEveryOf(search.spec));
    for (const job of await fleet.jobsOfSearch(search.id, 'sentinel')) book.note(job);
    const ids = new Set(trials.flatMap(({ deviceId }) => (deviceId === null ? [] : [deviceId])));
    return { devices: await fleet.describeDevices([...ids]), doubtful: book.doubtful() };
  }

  /** Why a search that runs has no job with a device, as far as that lies with devices. */
  async function waitReasonOf(searchId: string): Promise<string | null> {
    const run = driver.find(searchId);
    if (!run || run.liveJobs().length > 0) return null;
    const refused = driver.refusalOf(searchId);
    const devices = await fleet.describeDevices(refused ? [refused.deviceId] : run.deviceIds());
    const [device] = refused ? devices : devices.filter(({ quarantine }) => quarantine !== null);
    if (!device) return null;
    return refused
      ? `no device may measure for it: ${device.name} ${refused.refusal}`
      : `device ${device.name} is in quarantine until it qualifies: ${device.quarantine?.reason}`;
  }

  async function present(search: StoredSearch): Promise<Search> {
    const counts = await repository.countTrials(search.id);
    const { id, name, state, spec, adapterId, spaceSize, reason, createdAtMs } = search;
    return {
      id,
      name,
      state,
      spec,
      adapterId,
      spaceSize,
      reason: reason ?? (await waitReasonOf(id)),
      createdAtMs,
      finishedTrials: counts.finished ?? 0,
      infeasibleTrials: (counts.infeasible ?? 0) + (counts.failed ?? 0),
      pendingTrials: counts.pending ?? 0,
      elapsedSeconds: Math.max(0, (search.endedAtMs ?? clock.nowMs()) - createdAtMs) / 1000,
    };
  }

  return {
    start: (spec) =>
      exclusive(async () => {
        const { adapter, dataset, space } = await checkSearchStart(spec, models, timeoutMs);
        const search: StoredSearch = {
          id: newId('srch'),
          name: spec.name,
          state: 'running',
          spec,
          adapterId: adapter.id,
          datasetId: dataset.id,
          space: space.file,
          spaceSize: space.size,
          reason: null,
          chosenTrialId: null,
          chosenReason: null,
          createdAtMs: clock.nowMs(),
          endedAtMs: null,
        };
        await repository.insertSearch(search);
        driver.add(await load(search));
        return present(search);
      }),
    async list() {
      return Promise.all((await repository.listSearches()).map(present));
    },
    async show(idOrName) {
      return present(await find(idOrName));
    },
    async trials(idOrName) {
      return (await repository.listTrials((await find(idOrName)).id)).map(publish);
    },
    async front(idOrName) {
      const search = await find(idOrName);
      const stored = await repository.listTrials(search.id);
      const trials = stored.map(publish);
      const stage = reportedStage(search.spec, search.state);
      const { points, baselines, choice } = summarizeFront(search.spec, trials, stage);
      return {
        searchId: search.id,
        state: search.state,
        points: [...points],
        baselines: [...baselines],
        chosenTrialId: search.chosenReason === null ? choice.id : search.chosenTrialId,
        chosenReason: search.chosenReason ?? choice.reason,
        notices: listNotices(
          search.spec,
          trials,
          stage,
          await dataOf(search),
          await measuredBy(search, stored),
        ),
      };
    },
    async compare(a, b) {
      const [first, second] = [
        await findMeasuredTrial(a, repository, models),
        await findMeasuredTrial(b, repository, models),
      ];
      if (first.trial.id === second.trial.id)
        throw new CodedError('BAD_REQUEST', `trial ${first.name} was given twice, wanted two trials`);
      return { a: publish(first.trial), b: publish(second.trial), ...compareTrials(first, second) };
    },
    stop: (idOrName) =>
      exclusive(async () => {
        const search = await find(idOrName);
        const run = driver.find(search.id);
        if (!run)
          throw new CodedError(
            'STATE_CONFLICT',
            `search "${search.name}" is ${search.state}, wanted a running one`,
          );
        await driver.end(run, 'stopped', 'stopped on request');
        return present(run.search);
      }),
    async resume() {
      await exclusive(async () => {
        for (const search of await repository.listUnfinishedSearches()) {
          if (driver.find(search.id)) continue;
          try {
            driver.add(await load(search));
          } catch (error) {
            if (findOutageIn(error)) throw error;
            options.log?.error({ err: error, searchId: search.id }, 'search could not be resumed');
            const reason = messageOf(error);
            await repository.updateSearch(search.id, { state: 'failed', reason, endedAtMs: clock.nowMs() });
          }
        }
      });
    },
    close: () => driver.close(),
  };
}

/** The trial as the API shows it. */
function publish({ searchId, askedSequence, toldSequence, createdAtMs, ...trial }: StoredTrial): Trial {
  return trial;
}
