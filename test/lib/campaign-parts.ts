/**
 * A campaign with substitutes for its third parties: devices that answer by a cost function, and
 * an evaluation that answers by a quality function. What must survive a crash (rows, jobs) lies in
 * `World`; a campaign over it can be abandoned at any step and a new one started.
 */
import {
  type Campaign,
  type CampaignOptions,
  createCampaign,
  type DeviceSteadiness,
  type JobEnd,
  type JobSubmission,
  type StoredSearch,
  type StoredTrial,
  type TrialJob,
} from '@fleetlora/coordinator/campaign';
import type { RowSet } from '@fleetlora/coordinator/evaluation';
import { createHostLease, type HostLease } from '@fleetlora/coordinator/host';
import { splitFor } from '@fleetlora/coordinator/models';
import { CodedError } from '@fleetlora/shared/errors';
import { type Base, genomesOf } from '@fleetlora/shared/protocol';
import { decodeGenome, type Genome } from '@fleetlora/shared/space';
import { adapter, base, correctRows, dataset } from './campaign-fixtures.js';

export * from './campaign-fixtures.js';

export interface FakeDevice {
  readonly id: string;
  readonly deviceClass: string;
  readonly bootId?: string;
  online?: boolean;
  /** True unless said otherwise. */
  takesBatches?: boolean;
  /** Accepted unless said otherwise. */
  qualification?: DeviceSteadiness | null;
  /** Why it is given nothing; set by the campaign. */
  quarantine?: string | undefined;
  /** Leaves quarantine at once, as a device does that is found steady. */
  requalifies?: boolean;
  measure(genome: Genome, attempt: number): JobEnd;
  /** The end of its sentinel number `count`, from 1, of the search; as `measure` when absent. */
  sentinel?(genome: Genome, count: number): JobEnd;
}
interface FakeJob extends TrialJob {
  /** The first. */
  readonly trialId: string;
  readonly genome: string;
  readonly number: number;
  /** The whole body. */
  readonly body: JobSubmission['body'];
}

const steady: DeviceSteadiness = { accepted: true, spreadPercent: 1.2, atMs: 0 };

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class World {
  readonly searches: StoredSearch[] = [];
  readonly trials: StoredTrial[] = [];
  readonly jobs: FakeJob[] = [];
  /** The weight file of each scoring request. */
  readonly scoredOn: { readonly genome: string; readonly baseDigest: string }[] = [];
  /** Each scoring request, as `genome rows`. */
  readonly scored: string[] = [];
  /** The rows of each. */
  readonly rowSets: RowSet[] = [];
  /** Names the moments at which a machine measured and scored at once. */
  readonly collisions: string[] = [];
  /** Why devices were put into quarantine, in order. */
  readonly quarantines: string[] = [];
  /** Turns of the event loop that a device measures for. */
  turnsAJob = 1;
  /** The same of single devices. */
  readonly turnsOf = new Map<string, number>();
  readonly #measuring = new Set<string>();
  /** Largest number of jobs that were unfinished at once. */
  mostWaiting = 0;
  base: Base = base;
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
  /** Grows by one at every end of a job. */
  #nowMs = 1000;
  /** Of the campaign that was opened last. */
  #host: HostLease = createHostLease({ bootId: 'host' });
  #hostMeasures = false;
  #isDead: () => boolean = () => false;

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
    const host = createHostLease({ bootId: this.hostBootId });
    // As the fleet does at its start.
    void host.measuring.look(async () => ({ running: this.#hostMeasures, wanted: false }));
    this.#host = host;
    const options: CampaignOptions = {
      clock: { nowMs: () => 1000, monotonicMs: () => 0 },
      host,
      newId: (prefix) => `${prefix}_${String(++this.#ids).padStart(10, '0')}`,
      models: {
        findAdapter: async (name) => found(adapter, name),
        findBase: async (name) => found(this.base, name),
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
            .filter((device) => device.quarantine === undefined)
            .filter(({ id }) => this.#waiting(id, searchId) < ahead)
            .map(({ id, bootId, qualification = steady, takesBatches = true }) => ({
              id,
              bootId: bootId ?? id,
              qualification,
              takesBatches,
            })),
        submit: ({ kind, searchId, trialIds, deviceId, ahead = 1, body }) =>
          step(() => {
            const [trialId = ''] = trialIds;
            const device = this.devices.find(({ id }) => id === deviceId) as FakeDevice;
            const bootId = device.bootId ?? device.id;
            if (device.online === false) throw new CodedError('DEVICE_OFFLINE', `${deviceId} is offline`);
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
              endedAtMs: null,
              genome: body.genome,
              number,
              body,
            });
            setImmediate(() => void this.#measureOn(bootId));
            return jobId;
          }),
        cancel: (jobId) =>
          step(() => this.end(jobId, { outcome: 'canceled', reason: 'canceled by the coordinator' })),
        jobsOfSearch: async (searchId, kind) =>
          this.jobs.filter((job) => job.searchId === searchId && (kind === undefined || job.kind === kind)),
        describeDevices: async (ids) =>
          this.devices
            .filter(({ id }) => ids.includes(id))
            .map(({ id, qualification = steady, quarantine }) => ({
              id,
              name: `board-${Number(id.slice(-10))}`,
              qualification,
              quarantine: quarantine === undefined ? null : { reason: quarantine },
            })),
        quarantine: (deviceId, reason) =>
          step(() => {
            const device = this.devices.find(({ id }) => id === deviceId) as FakeDevice;
            if (device.quarantine === undefined) this.quarantines.push(reason);
            device.quarantine = reason;
            if (device.requalifies) this.requalify(device);
          }),
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
        score: ({ baseDigest, genome, rows, numbers }) =>
          step(async () => {
            const look = (): void => {
              if (this.#hostMeasures) this.collisions.push(`${genome} scored while measuring`);
            };
            look();
            this.#scoring++;
            await this.beforeScore();
            this.#scoring--;
            look();
            this.scoredOn.push({ genome, baseDigest });
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
    const dead = (): boolean => left <= 0 && underWay === 0;
    this.#isDead = dead;
    return {
      campaign: createCampaign(options),
      steps: () => steps,
      dead,
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
    const oldest = () => this.measuringJobs().find((candidate) => candidate.bootId === bootId);
    const isHost = bootId === this.hostBootId;
    while (oldest()) {
      if (isHost) await this.#untilGranted();
      // Canceled meanwhile.
      const job = oldest();
      if (!job) break;
      if (isHost && this.#scoring > 0 && !this.#isDead())
        this.collisions.push(`${job.genome} measured while scoring`);
      this.#hostMeasures ||= isHost;
      for (let turn = 1; turn < (this.turnsOf.get(job.deviceId) ?? this.turnsAJob); turn++) await nextTurn();
      if (isHost) this.#hostMeasures = false;
      this.finish(job.jobId);
    }
    this.#measuring.delete(bootId);
    if (isHost) await this.#host.measuring.look(async () => ({ running: false, wanted: false }));
  }
  /** As the fleet does: looks, and looks again, until the machine is granted. */
  async #untilGranted(): Promise<void> {
    let isGranted = false;
    while (!isGranted && !this.#isDead()) {
      await this.#host.measuring.look(async (granted) => {
        isGranted = granted;
        return { running: granted, wanted: true };
      });
      if (!isGranted) await nextTurn();
    }
  }
  /** The device of a job answers. */
  finish(jobId: string): void {
    const job = this.jobs.find((candidate) => candidate.jobId === jobId) as FakeJob;
    const device = this.devices.find(({ id }) => id === job.deviceId) as FakeDevice;
    const ended = this.jobs.filter(({ searchId, end }) => searchId === job.searchId && end !== null);
    if (job.kind === 'sentinel') {
      const own = ended.filter(({ kind, deviceId }) => kind === 'sentinel' && deviceId === device.id);
      const answer = device.sentinel ?? device.measure;
      this.end(jobId, answer.call(device, decodeGenome(job.genome), own.length + 1));
      return;
    }
    const ends = genomesOf(job.body).map((genome, place) => {
      const trialId = job.trialIds[place] ?? '';
      return device.measure(
        decodeGenome(genome),
        ended.filter(({ trialIds }) => trialIds.includes(trialId)).length + 1,
      );
    });
    // One that does not run takes its batch down.
    const failed = ends.find(({ outcome }) => outcome !== 'measured');
    const measurements = ends.flatMap((end) => (end.outcome === 'measured' ? end.measurements : []));
    this.end(jobId, failed ?? { outcome: 'measured', measurements });
  }
  end(jobId: string, end: JobEnd): void {
    const place = this.jobs.findIndex((candidate) => candidate.jobId === jobId);
    const job = this.jobs[place];
    if (!job || job.end !== null) return;
    const over = { ...job, end, endedAtMs: ++this.#nowMs };
    this.jobs[place] = over;
    for (const listener of this.#listeners.ended) listener(over);
    this.devicesChanged();
  }
  /** The device is found steady, and leaves quarantine. */
  requalify(device: FakeDevice): void {
    device.quarantine = undefined;
    device.qualification = { ...steady, atMs: ++this.#nowMs };
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
