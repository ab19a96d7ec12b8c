import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, findOutageIn, messageOf } from '@fleetlora/shared/errors';
import { createPatience, makeFolder, type Patience } from '@fleetlora/shared/node';
import type {
  Adapter,
  AdapterTune,
  Base,
  Dataset,
  DatasetSplit,
  Training,
  TrainingStart,
} from '@fleetlora/shared/protocol';
import {
  bindSearchSpace,
  decodeGenome,
  offeredPrecisions,
  oneCandidateSpace,
  type Precision,
  parseSearchSpace,
  type SearchSpaceFile,
  spaceModelOf,
} from '@fleetlora/shared/space';
import type { HostWorking } from '../host/index.js';
import { maskedSpace } from './masked-space.js';
import type { TrainingRecord, TrainingRepository } from './ports.js';
import { requireTeacher } from './subnet-sampling.js';
import { defaultTrainingOptions, defaultTuneOptions } from './training-options.js';
import { type ProcessEnd, startTrainingProcess, type TrainingProcess } from './training-process.js';

/** What a trainer needs of the catalog. */
export interface TrainingCatalog {
  findBase(idOrName: string): Promise<Base>;
  findDataset(idOrName: string): Promise<Dataset>;
  /** The split to learn from. @throws BAD_REQUEST when there is none */
  splitFor(dataset: Dataset, use: 'train'): DatasetSplit;
  listAdapters(): Promise<Adapter[]>;
  findAdapter(idOrName: string): Promise<Adapter>;
  registerAdapter(
    name: string,
    baseId: string,
    adapterFile: Uint8Array,
    space: SearchSpaceFile,
  ): Promise<Adapter>;
}

/** Training runs, each in a process of its own; `show` and `stop` take an id or a name. */
export interface Trainer {
  /** @throws NOT_FOUND, ALREADY_EXISTS, SPACE_INVALID, BAD_REQUEST (no split to train on), DISK_FULL */
  start(request: TrainingStart): Promise<Training>;
  /**
   * Trains one candidate of a super-adapter a little more; it ends as an adapter whose space is that
   * candidate alone. @throws as start, and GENOME_OUTSIDE_SPACE
   */
  tune(idOrName: string, request: AdapterTune): Promise<Training>;
  list(): Promise<Training[]>;
  show(idOrName: string): Promise<Training>;
  /** Ends a run at its next step; its last checkpoint stays. */
  stop(idOrName: string): Promise<Training>;
  /** Takes up the runs a stopped or killed coordinator left, each from its last checkpoint. */
  resume(): Promise<void>;
  /** Ends the processes; the runs stay `running` in the store, for `resume`. */
  close(): Promise<void>;
}

export interface TrainerOptions {
  readonly catalog: TrainingCatalog;
  readonly repository: TrainingRepository;
  readonly contentFolder: string;
  /** Holds one folder a run with its checkpoint. */
  readonly trainingFolder: string;
  readonly clock: Clock;
  readonly newId: (prefix: string) => string;
  /** The machine, which devices that measure may share. */
  readonly host: Pick<HostWorking, 'takeTurn'>;
  /** Told of what could not be stored; the run goes on or is taken up at the next start. */
  readonly onError: (trainingId: string, error: unknown) => void;
  /** Told why a run waits for space on the disk, and null once it goes on. */
  readonly onWait?: (trainingId: string, reason: string | null) => void;
}

interface LiveTraining {
  record: TrainingRecord;
  readonly process: TrainingProcess;
}

/**
 * A process that dies this often without getting further takes its run down with it: more would
 * only burn power.
 */
const MAX_RESTARTS = 3;

/** The one precision of a space whose candidates all run on the same quantised base. */
function onlyQuantised(space: SearchSpaceFile): Precision | undefined {
  const [one, ...others] = offeredPrecisions(space);
  return one === 'fp32' || others.length > 0 ? undefined : one;
}

/**
 * Invariant: a run's record is `running` from before its process starts until its adapter is in
 * the catalog, so that a crash at any moment leaves a run that `resume` can finish.
 */
export function createTrainer(options: TrainerOptions): Trainer {
  const { catalog, repository, clock } = options;
  const live = new Map<string, LiveTraining>();
  let closing = false;
  /** Ends with the trainer. */
  const patiences = new Set<Patience>();

  /** Does work of a run again and again while the disk is full. */
  const patiently = async <T>(trainingId: string, work: () => Promise<T>): Promise<T> => {
    const patience = createPatience({
      onWait: ({ message }) => options.onWait?.(trainingId, message),
      onGoOn: () => options.onWait?.(trainingId, null),
    });
    patiences.add(patience);
    try {
      return await patience.run(work);
    } finally {
      patiences.delete(patience);
    }
  };

  const find = async (idOrName: string): Promise<TrainingRecord> => {
    const stored = await repository.findTraining(idOrName);
    if (!stored) throw new CodedError('NOT_FOUND', `no training has the id or name "${idOrName}"`);
    return live.get(stored.id)?.record ?? stored;
  };

  /** The public part of a record, as things stand. */
  const show = ({ space: _, ...training }: TrainingRecord): Training => ({
    ...training,
    waitReason: live.get(training.id)?.process.waitReason ?? null,
  });

  const end = async (record: TrainingRecord, changes: Partial<TrainingRecord>): Promise<void> => {
    live.delete(record.id);
    await repository.updateTraining({ ...record, etaSeconds: null, ...changes });
  };

  const finish = async (record: TrainingRecord, resultPath: string): Promise<void> => {
    // A crash after the adapter was recorded and before the run was: the adapter is found by name.
    const known = (await catalog.listAdapters()).find((adapter) => adapter.name === record.name);
    const register = async (): Promise<Adapter> =>
      catalog.registerAdapter(record.name, record.baseId, await readFile(resultPath), record.space);
    const adapter = known ?? (await patiently(record.id, register));
    await end(record, { state: 'finished', step: record.options.steps, adapterId: adapter.id });
    await rm(join(options.trainingFolder, record.id), { recursive: true, force: true });
  };

  const launch = async (record: TrainingRecord, restarts = 0): Promise<void> => {
    const base = await catalog.findBase(record.baseId);
    const dataset = await catalog.findDataset(record.datasetId);
    const folder = join(options.trainingFolder, record.id);
    await patiently(record.id, () => makeFolder(folder));
    // Closed meanwhile: nobody would end the process, and the run is for `resume`.
    if (closing) return;
    const resultPath = join(folder, 'adapter.safetensors');
    const { from, precision = 'fp32' } = record.options;
    const start = {
      kind: 'start',
      contentFolder: options.contentFolder,
      baseDigest: base.digest,
      tokenizerDigest: base.tokenizerDigest,
      datasetDigest: catalog.splitFor(dataset, 'train').digest,
      space: record.space,
      options: record.options,
      quantisedDigest: (precision !== 'fp32' && base.files[precision]?.digest) || null,
      initialDigest: from === undefined ? null : (await catalog.findAdapter(from)).digest,
      checkpointPath: join(folder, 'checkpoint.safetensors'),
      resultPath,
    } as const;
    const running = startTrainingProcess(options.host, start, {
      onProgress({ step, loss, tokensPerSecond, etaSeconds }) {
        own.record = { ...own.record, step, loss, tokensPerSecond, etaSeconds };
        if (step % record.options.checkpointEverySteps === 0)
          repository.updateTraining(own.record).catch((error: unknown) => options.onError(record.id, error));
      },
      onWaitForSpace: (reason) => options.onWait?.(record.id, reason),
      onEnd(how) {
        if (how.kind === 'gone' && closing) return;
        takeEnd(own.record, how)
          .catch((error: unknown) => {
            // A run that waited for a disk or a database when the coordinator stopped is for `resume`.
            if (closing) return;
            if (findOutageIn(error)) throw error;
            return end(record, { state: 'failed', error: messageOf(error) });
          })
          .catch((error: unknown) => options.onError(record.id, error));
      },
      onError: (error) => options.onError(record.id, error),
    });
    const own: LiveTraining = { record, process: running };
    live.set(record.id, own);

    async function takeEnd(last: TrainingRecord, how: ProcessEnd): Promise<void> {
      if (how.kind === 'finished') return finish(last, resultPath);
      if (how.kind === 'stopped') return end(last, { state: 'stopped' });
      if (how.kind === 'failed') return end(last, { state: 'failed', error: how.reason });
      // Killed, by the kernel for memory or by a person: its checkpoint tells where to go on. A
      // long run may meet that many times; only deaths on the spot are counted.
      const inVain = last.step > record.step ? 0 : restarts;
      if (how.signal !== null && inVain < MAX_RESTARTS) return launch(last, inVain + 1);
      const why =
        how.signal === null
          ? `ended with code ${how.code}`
          : `was killed by ${how.signal} ${inVain + 1} times at step ${last.step}`;
      return end(last, { state: 'failed', error: `training process ${why}; its last checkpoint stays` });
    }
  };

  /** The adapter a run starts with, whose factors must mean the same in it. */
  const findInitial = async (from: string, base: Base, space: SearchSpaceFile): Promise<Adapter> => {
    const adapter = await catalog.findAdapter(from);
    if (adapter.baseId !== base.id)
      throw new CodedError(
        'ADAPTER_OTHER_BASE',
        `adapter "${adapter.name}" is for base ${adapter.baseId}, the training is on ${base.id}`,
      );
    const [found, wanted] = [adapter.alpha / adapter.rankMax, space.alpha / space.rankMax];
    if (Math.abs(found - wanted) > 1e-6 * wanted)
      throw new CodedError(
        'SPACE_INVALID',
        `search space scales by alpha / rankMax = ${wanted}, adapter "${adapter.name}" by ${found}`,
      );
    return adapter;
  };

  const trainer: Trainer = {
    async start(request) {
      const base = await catalog.findBase(request.base);
      const dataset = await catalog.findDataset(request.dataset);
      catalog.splitFor(dataset, 'train');
      const space = parseSearchSpace(request.space);
      bindSearchSpace(space, spaceModelOf(base));
      requireTeacher({ ...defaultTrainingOptions, ...request.options });
      const { from, precision = onlyQuantised(space), masked } = request.options;
      const initial = from === undefined ? null : await findInitial(from, base, space);
      if ((await catalog.listAdapters()).some((adapter) => adapter.name === request.name))
        throw new CodedError('ALREADY_EXISTS', `an adapter named "${request.name}" exists already`);
      const record: TrainingRecord = {
        id: options.newId('trn'),
        name: request.name,
        baseId: base.id,
        datasetId: dataset.id,
        state: 'running',
        space: masked ? maskedSpace(space, base, precision ?? 'fp32') : space,
        options: {
          ...defaultTrainingOptions,
          ...request.options,
          ...(initial && { from: initial.id }),
          ...(precision !== undefined && { precision }),
        },
        step: 0,
        loss: null,
        tokensPerSecond: null,
        etaSeconds: null,
        adapterId: null,
        error: null,
        createdAtMs: clock.nowMs(),
      };
      const folder = join(options.trainingFolder, record.id);
      // Before anything is recorded: a full disk is an answer now and no run that nobody works on.
      await makeFolder(folder);
      await repository.insertTraining(record).catch(async (error: unknown) => {
        await rm(folder, { recursive: true, force: true });
        throw error;
      });
      await launch(record);
      return show(record);
    },
    async tune(idOrName, { name, candidate, dataset, options: asked }) {
      const adapter = await catalog.findAdapter(idOrName);
      const base = await catalog.findBase(adapter.baseId);
      const genome = decodeGenome(candidate);
      bindSearchSpace(adapter.space, spaceModelOf(base)).toIndices(genome);
      return trainer.start({
        name,
        base: base.id,
        dataset,
        space: oneCandidateSpace(adapter.space, genome),
        options: {
          ...defaultTuneOptions,
          ...asked,
          from: adapter.id,
          ...(genome.precision && { precision: genome.precision }),
          ...(adapter.masked && { masked: true, precision: adapter.masked }),
        },
      });
    },
    async list() {
      const records = await repository.listTrainings();
      return records.map((stored) => show(live.get(stored.id)?.record ?? stored));
    },
    show: async (idOrName) => show(await find(idOrName)),
    async stop(idOrName) {
      const record = await find(idOrName);
      const running = live.get(record.id);
      if (!running)
        throw new CodedError('STATE_CONFLICT', `training "${record.name}" is ${record.state}, not running`);
      if (!running.process.stop())
        throw new CodedError(
          'STATE_CONFLICT',
          `training "${record.name}" has no process at step ${record.step} of ${record.options.steps}: its adapter is being stored, or it is being started again`,
        );
      return show(record);
    },
    async resume() {
      for (const record of await repository.listTrainings()) {
        if (record.state === 'running' && !live.has(record.id)) await launch(record);
      }
    },
    async close() {
      closing = true;
      for (const patience of patiences) patience.close();
      await Promise.all([...live.values()].map(({ process }) => process.kill()));
      live.clear();
    },
  };
  return trainer;
}
