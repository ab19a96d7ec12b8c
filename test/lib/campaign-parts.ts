/**
 * A campaign with substitutes for its third parties: devices that answer by a cost function, and
 * an evaluation that answers by a quality function. What must survive a crash (rows, jobs) lies in
 * `World`; a campaign over it can be abandoned at any step and a new one started.
 */
import {
  type Campaign,
  type CampaignOptions,
  createCampaign,
  type JobEnd,
  type StoredSearch,
  type StoredTrial,
  type TrialJob,
} from '@fleetlora/coordinator/campaign';
import type { RowSet } from '@fleetlora/coordinator/evaluation';
import { splitFor } from '@fleetlora/coordinator/models';
import { CodedError } from '@fleetlora/shared/errors';
import {
  type Adapter,
  type Base,
  type Dataset,
  defaultMeasurePlan,
  type Measurement,
  type SearchStart,
} from '@fleetlora/shared/protocol';
import { costOf, decodeGenome, type Genome, presets, type SearchSpaceFile } from '@fleetlora/shared/space';

export interface FakeDevice {
  readonly id: string;
  readonly deviceClass: string;
  readonly bootId?: string;
  online?: boolean;
  measure(genome: Genome, attempt: number): JobEnd;
}
interface FakeJob extends TrialJob {
  /** The first. */
  readonly trialId: string;
  readonly genome: string;
  readonly number: number;
}

export const SHAPE = { hidden: 256, qWidth: 256, kvWidth: 128, vocab: 4096 };
export const digestOf = (letter: string): string => letter.repeat(64);

/** A measurement with these medians. */
export function measurement(decodeMs: number, prefillMs: number, genome: Genome): Measurement {
  const timing = (ms: number) => ({ p50Ms: ms, p90Ms: ms, n: 1, samplesMs: [ms] });
  const cost = costOf(genome, SHAPE);
  return {
    plan: defaultMeasurePlan,
    runtime: 'fake',
    provider: 'cpu',
    coldLoadMs: 1,
    warmLoadMs: 1,
    prefill: timing(prefillMs),
    decode: timing(decodeMs),
    baselineBytes: 1e6,
    peakBytes: 40e6 + 4 * cost.baseParameters,
    anonymousBytes: 1e6,
    shippedBytes: 2 * cost.shippedParameters,
  };
}

/** A device on which a token costs as much as its multiply-adds. */
export const costByMacs = (genome: Genome): JobEnd => {
  const { macs } = costOf(genome, SHAPE);
  return { outcome: 'measured', measurements: [measurement(macs / 1e6, macs / 1e5, genome)] };
};
/** Rows answered of 1,000: more with rank and width, in whole rows. */
export function correctRows(genome: Genome): number {
  const lost = genome.layers.reduce((sum, { ranks, width }) => sum + 40 / ranks.qkv + 7680 / width, 0);
  return Math.round(1000 - (4 * lost) / genome.layers.length);
}

export function searchStart(change: Partial<SearchStart> = {}): SearchStart {
  return {
    name: 'search',
    adapter: 'adapter',
    dataset: 'data',
    deviceClass: 'board',
    strategy: 'nsga2',
    quality: 'accuracy',
    costs: ['decodeMs'],
    trials: 20,
    seed: 1,
    scoreRows: 1000,
    finalRows: 500,
    finalPoints: 4,
    require: ['accuracy>=max-1.0'],
    plan: defaultMeasurePlan,
    maxTokens: 64,
    ...change,
  };
}

export const adapter: Adapter = {
  id: 'adp_0000000001',
  name: 'adapter',
  baseId: 'base_0000000001',
  digest: digestOf('a'),
  bytes: 1,
  rankMax: 32,
  alpha: 64,
  space: presets.tied as SearchSpaceFile,
  files: {},
  createdAtMs: 0,
};
const base: Base = {
  id: adapter.baseId,
  name: 'base',
  digest: digestOf('b'),
  bytes: 1,
  parameters: 1,
  layers: 8,
  hidden: 256,
  ffnWidth: 768,
  vocab: 4096,
  tokenizerDigest: digestOf('c'),
  createdAtMs: 0,
};
const dataset: Dataset = {
  id: 'data_0000000001',
  name: 'data',
  digest: digestOf('d'),
  rows: 2000,
  splits: { all: { digest: digestOf('d'), rows: 2000 } },
  task: { kind: 'completion' },
  report: null,
  createdAtMs: 0,
};

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class World {
  readonly searches: StoredSearch[] = [];
  readonly trials: StoredTrial[] = [];
  readonly jobs: FakeJob[] = [];
  /** Each scoring request, as `genome rows`. */
  readonly scored: string[] = [];
  /** The rows of each. */
  readonly rowSets: RowSet[] = [];
  /** Names the moments at which a machine measured and scored at once. */
  readonly collisions: string[] = [];
  /** Turns of the event loop that a device measures for. */
  turnsAJob = 1;
  readonly #measuring = new Set<string>();
  /** Largest number of jobs that were unfinished at once. */
  mostWaiting = 0;
  dataset = dataset;
  hostBootId = 'host';
  parallel = 1;
  /** Replaces the quality function. */
  answer: (genome: Genome, skip: number) => number = correctRows;
  /** Whether the answer of a row was cut; null where no answers are generated. */
  cut: ((row: number) => boolean) | null = null;
  /** Awaited before a score is answered. */
  beforeScore: () => Promise<void> = nextTurn;
  /** What the next call to the outside is refused with, once. */
  outage: Error | null = null;
  #scoring = 0;
  #ids = 0;

  constructor(readonly devices: FakeDevice[]) {}

  measuringJobs(): FakeJob[] {
    return this.jobs.filter((job) => job.end === null);
  }

  /**
   * A campaign over this world.
   * @param stepsLeft after so many calls to the outside nothing is answered any more, as if the
   *   process had died between two of them
   */
  open(stepsLeft = Number.POSITIVE_INFINITY): {
    campaign: Campaign;
    steps(): number;
    dead(): boolean;
    kill(): void;
  } {
    let left = stepsLeft;
    let steps = 0;
    let underWay = 0;
    const step = async <T>(work: () => T | Promise<T>): Promise<T> => {
      steps++;
      if (left <= 0) return new Promise<T>(() => {});
      left--;
      underWay++;
      try {
        await nextTurn();
        const { outage } = this;
        this.outage = null;
        if (outage !== null) throw outage;
        return await work();
      } finally {
        underWay--;
      }
    };
    const ended = new Set<(job: TrialJob) => void>();
    const changed = new Set<() => void>();
    const options: CampaignOptions = {
      clock: { nowMs: () => 1000, monotonicMs: () => 0 },
      hostBootId: this.hostBootId,
      newId: (prefix) => `${prefix}_${String(++this.#ids).padStart(10, '0')}`,
      models: {
        findAdapter: async (name) => found(adapter, name),
        findBase: async (name) => found(base, name),
        findDataset: async (name) => found(this.dataset, name),
        splitFor,
      },
      repository: {
        insertSearch: (search) =>
          step(() => {
            if (this.searches.some(({ name }) => name === search.name))
              throw new CodedError('ALREADY_EXISTS', `there is a search "${search.name}"`);
            this.searches.push(search);
          }),
        updateSearch: (id, change) => step(() => patch(this.searches, id, change)),
        findSearch: async (key) => this.searches.find(({ id, name }) => id === key || name === key) ?? null,
        listSearches: async () => [...this.searches].reverse(),
        listUnfinishedSearches: async () =>
          this.searches.filter(({ state }) => state === 'running' || state === 'finalizing'),
        insertTrial: (trial) =>
          step(() => {
            this.trials.push(trial);
          }),
        updateTrial: (id, change) => step(() => patch(this.trials, id, change)),
        listTrials: async (searchId) => this.trials.filter((trial) => trial.searchId === searchId),
        countTrials: async (searchId) => {
          const counts: Partial<Record<StoredTrial['state'], number>> = {};
          for (const trial of this.trials)
            if (trial.searchId === searchId) counts[trial.state] = (counts[trial.state] ?? 0) + 1;
          return counts;
        },
      },
      fleet: {
        idleDevices: async (deviceClass, { searchId, ahead } = { searchId: '', ahead: 1 }) =>
          this.devices
            .filter((device) => device.deviceClass === deviceClass && device.online !== false)
            .filter(({ id }) => this.#waiting(id, searchId) < ahead)
            .map(({ id, bootId }) => ({ id, bootId: bootId ?? id, qualification: null })),
        submit: ({ kind, searchId, trialIds, deviceId, ahead = 1, body }) =>
          step(() => {
            const [trialId = ''] = trialIds;
            const device = this.devices.find(({ id }) => id === deviceId) as FakeDevice;
            const bootId = device.bootId ?? device.id;
            if (device.online === false) throw new CodedError('DEVICE_OFFLINE', `${deviceId} is offline`);
            if (bootId === this.hostBootId && this.#scoring > 0)
              this.collisions.push(`${trialId} sent while scoring`);
            if (this.#waiting(deviceId, searchId) >= ahead)
              this.collisions.push(`${deviceId} has more than ${ahead} jobs of ${searchId}`);
            this.mostWaiting = Math.max(this.mostWaiting, this.measuringJobs().length + 1);
            const jobId = `job_${String(this.jobs.length + 1).padStart(10, '0')}`;
            const number = this.trials.find(({ id }) => id === trialId)?.number ?? 0;
            this.jobs.push({
              jobId,
              kind,
              searchId,
              trialIds,
              trialId,
              deviceId,
              bootId,
              end: null,
              genome: body.genome,
              number,
            });
            setImmediate(() => void this.#measureOn(bootId));
            return jobId;
          }),
        cancel: (jobId) =>
          step(() => this.end(jobId, { outcome: 'canceled', reason: 'canceled by the coordinator' })),
        jobsOfSearch: async (searchId) => this.jobs.filter((job) => job.searchId === searchId),
        quarantine: async () => {},
        onJobEnded: (listener) => {
          ended.add(listener);
          return () => ended.delete(listener);
        },
        onDevicesChanged: (listener) => {
          changed.add(listener);
          return () => changed.delete(listener);
        },
      },
      evaluation: {
        parallel: this.parallel,
        score: ({ genome, rows, numbers }) =>
          step(async () => {
            if (this.measuringJobs().some((job) => job.bootId === this.hostBootId))
              this.collisions.push(`${genome} scored while measuring`);
            this.#scoring++;
            await this.beforeScore();
            this.#scoring--;
            this.scored.push(`${genome} ${rows.skip}+${rows.take} ${numbers}`);
            this.rowSets.push(rows);
            const correct = Math.round((this.answer(decodeGenome(genome), rows.skip) * rows.take) / 1000);
            return Array.from({ length: rows.take }, (_, row) => ({
              correct: row < correct,
              nll: row < correct ? 0.1 : 2,
              targets: 2,
              ...(this.cut && { cut: this.cut(row) }),
            }));
          }),
      },
    };
    this.#listeners = { ended, changed };
    this.#scoring = 0;
    return {
      campaign: createCampaign(options),
      steps: () => steps,
      dead: () => left <= 0 && underWay === 0,
      kill: () => {
        left = 0;
      },
    };
  }
  #listeners: { ended: Set<(job: TrialJob) => void>; changed: Set<() => void> } = {
    ended: new Set(),
    changed: new Set(),
  };

  /** Unfinished jobs of a device: of one search, or of all for "". */
  #waiting(deviceId: string, searchId: string): number {
    return this.measuringJobs().filter(
      (job) => job.deviceId === deviceId && (searchId === '' || job.searchId === searchId),
    ).length;
  }
  /** A machine measures its oldest job, then the next. */
  async #measureOn(bootId: string): Promise<void> {
    if (this.#measuring.has(bootId)) return;
    this.#measuring.add(bootId);
    for (;;) {
      const job = this.measuringJobs().find((candidate) => candidate.bootId === bootId);
      if (!job) break;
      for (let turn = 1; turn < this.turnsAJob; turn++) await nextTurn();
      this.finish(job.jobId);
    }
    this.#measuring.delete(bootId);
  }
  /** The device of a job answers. */
  finish(jobId: string): void {
    const job = this.jobs.find((candidate) => candidate.jobId === jobId) as FakeJob;
    const device = this.devices.find(({ id }) => id === job.deviceId) as FakeDevice;
    const attempt =
      this.jobs.filter(({ trialId, end }) => trialId === job.trialId && end !== null).length + 1;
    this.end(jobId, device.measure(decodeGenome(job.genome), attempt));
  }
  end(jobId: string, end: JobEnd): void {
    const place = this.jobs.findIndex((candidate) => candidate.jobId === jobId);
    const job = this.jobs[place];
    if (!job || job.end !== null) return;
    const over = { ...job, end };
    this.jobs[place] = over;
    for (const listener of this.#listeners.ended) listener(over);
    this.devicesChanged();
  }
  devicesChanged(): void {
    for (const listener of this.#listeners.changed) listener();
  }

  /** Waits until no search runs, or until `over` says so. */
  async settled(over: () => boolean = () => false): Promise<void> {
    const isOver = (): boolean =>
      over() ||
      (this.searches.length > 0 &&
        this.searches.every(({ state }) => state !== 'running' && state !== 'finalizing'));
    for (let turn = 0; turn < 200_000 && !isOver(); turn++) await nextTurn();
    if (!isOver()) throw new Error('the search did not come to an end');
  }
}

function patch<T extends { readonly id: string }>(rows: T[], id: string, change: Partial<NoInfer<T>>): void {
  const place = rows.findIndex((row) => row.id === id);
  if (place < 0) throw new Error(`no row ${id}`);
  rows[place] = { ...(rows[place] as T), ...change };
}
function found<T extends { readonly id: string; readonly name: string }>(record: T, key: string): T {
  if (key !== record.id && key !== record.name) throw new CodedError('NOT_FOUND', `there is no "${key}"`);
  return record;
}
