import { join } from 'node:path';
import type { Clock } from '@fleetlora/shared/clock';
import { CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
import {
  defaultRetention,
  type Garbage,
  type GarbageCollect,
  type GarbageReport,
  type Retention,
} from '@fleetlora/shared/protocol';
import type { ContentGate } from './content-gate.js';
import { nameOrigins } from './name-origins.js';
import { type GarbageFacts, planGarbage, type SearchFacts } from './plan-garbage.js';
import type { RetentionRepository } from './ports.js';
import {
  readContentFolder,
  readFileFacts,
  readIncomingFolder,
  readSubfolders,
  removePath,
} from './read-folders.js';

/** How long things are kept, and the deletion of what is over its time. */
export interface RetentionKeeper {
  /** What is in force. */
  show(): Promise<Retention>;
  set(retention: Retention): Promise<Retention>;
  /**
   * What can go; unless `dryRun`, it is gone then and `items` are those that really went.
   * @throws STATE_CONFLICT while an import, a release or a backup needs everything to stay
   */
  collect(request: GarbageCollect): Promise<GarbageReport>;
  /** Collects when that is `automatic` and the last time is a day ago. Called now and then. */
  runIfDue(): Promise<void>;
}

export interface RetentionLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface RetentionOptions {
  readonly repository: RetentionRepository;
  readonly gate: ContentGate;
  /** Holds content/, incoming/ and training/. */
  readonly dataFolder: string;
  readonly clock: Clock;
  readonly log: RetentionLog;
  /** How long a collection waits for imports, releases and backups to end. */
  readonly patienceMs?: number;
}

const RUN_EVERY_MS = 86_400_000;
const DEFAULT_PATIENCE_MS = 20_000;
const DAY_MS = 86_400_000;
/** Things that go in one exclusive section: imports wait for it, so it ends in well under a second. */
const ITEMS_PER_SECTION = 32;

/**
 * Plans from what is there, then deletes in short exclusive sections. Invariant: inside a section
 * each thing is looked at again before it goes, for a record that names it or a writing since.
 */
export function createRetention(options: RetentionOptions): RetentionKeeper {
  const { repository, gate, dataFolder, clock, log } = options;
  /** One collection at a time: two would report the same things. */
  let tail: Promise<unknown> = Promise.resolve();

  const show = async (): Promise<Retention> => (await repository.readSettings()) ?? defaultRetention;

  const readNeeded = async (): Promise<Set<string>> =>
    new Set((await repository.listNamedContent()).map(({ digest }) => digest));

  /** Searches that may be over their time, each weighed as far as the plan asks. */
  async function readSearches(retention: Retention, nowMs: number): Promise<SearchFacts[]> {
    const { searchesDays, samplesDays } = retention;
    const days = [searchesDays, samplesDays].filter((limit) => limit !== null);
    if (days.length === 0) return [];
    const found: SearchFacts[] = [];
    for (const search of await repository.listSearchesEndedBy(nowMs - Math.min(...days) * DAY_MS)) {
      const mayGo =
        search.release === null && searchesDays !== null && search.endedAtMs <= nowMs - searchesDays * DAY_MS;
      if (mayGo || (await repository.hasSamples(search.id)))
        found.push({ ...search, ...(await repository.weighSearch(search.id)) });
    }
    return found;
  }

  async function readFacts(retention: Retention, nowMs: number): Promise<GarbageFacts> {
    // Files before records: what is stored and recorded in between is in neither, or is needed.
    const { files, partials } = await readContentFolder(join(dataFolder, 'content'));
    const incoming = await readIncomingFolder(join(dataFolder, 'incoming'));
    const folders = await readSubfolders(join(dataFolder, 'training'));
    const trainings = new Map((await repository.listTrainings()).map((training) => [training.id, training]));
    return {
      files,
      partials: [...partials, ...incoming],
      checkpoints: folders.map(({ name, ...folder }) => ({
        id: name,
        ...folder,
        training: trainings.get(name) ?? null,
      })),
      searches: await readSearches(retention, nowMs),
      needed: await readNeeded(),
    };
  }

  /** Deletes what may still go; true when it is gone. All but samples: inside an exclusive section. */
  async function deleteOne(item: Garbage, needed: ReadonlySet<string>): Promise<boolean> {
    const removeUnlessUsed = async (path: string): Promise<boolean> => {
      const facts = await readFileFacts(path);
      if (facts === null || Math.floor(facts.usedAtMs) > item.lastUsedAtMs) return false;
      await removePath(path);
      return true;
    };
    switch (item.kind) {
      case 'search':
        return repository.deleteSearch(item.id);
      case 'checkpoint': {
        const training = (await repository.listTrainings()).find(({ id }) => id === item.id);
        if (training?.state === 'running') return false;
        await removePath(join(dataFolder, 'training', item.id));
        return true;
      }
      case 'artifact':
        return !needed.has(item.id) && removeUnlessUsed(join(dataFolder, 'content', item.id));
      case 'partial':
        return removeUnlessUsed(join(dataFolder, item.id));
      case 'samples':
        await repository.dropSamples(item.id);
        return true;
    }
  }

  async function withPatience<T>(work: (patience: AbortSignal) => Promise<T>): Promise<T> {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), options.patienceMs ?? DEFAULT_PATIENCE_MS);
    try {
      return await work(patience.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async function deleteAll(items: readonly Garbage[]): Promise<Garbage[]> {
    const gone: Garbage[] = [];
    const deleteSome = async (some: readonly Garbage[], needed: ReadonlySet<string>): Promise<void> => {
      for (const item of some) {
        try {
          if (await deleteOne(item, needed)) gone.push(item);
        } catch (error) {
          log.warn({ ...item, reason: messageOf(error) }, `${item.what} could not be deleted`);
        }
      }
    };
    // Nothing relies on raw samples, and thousands of rows take their time: imports need not wait.
    await deleteSome(
      items.filter(({ kind }) => kind === 'samples'),
      new Set(),
    );
    const others = items.filter(({ kind }) => kind !== 'samples');
    for (let start = 0; start < others.length; start += ITEMS_PER_SECTION) {
      const some = others.slice(start, start + ITEMS_PER_SECTION);
      const section = async (): Promise<void> => deleteSome(some, await readNeeded());
      try {
        await withPatience((patience) => gate.exclusively(section, patience));
      } catch (error) {
        // Something that took long began in between: what is gone by now is told.
        if (!isCoded(error, 'STATE_CONFLICT') || gone.length === 0) throw error;
        log.warn({ reason: messageOf(error), deleted: gone.length }, 'the rest is deleted another time');
        break;
      }
    }
    return gone;
  }

  async function collectNow({ dryRun }: GarbageCollect): Promise<GarbageReport> {
    const retention = await show();
    const nowMs = clock.nowMs();
    const plan = planGarbage(await readFacts(retention, nowMs), retention, nowMs);
    const planned = await nameOrigins(plan.items, await repository.listNamedContent(), (digest) =>
      join(dataFolder, 'content', digest),
    );
    const items = dryRun ? planned : await deleteAll(planned);
    const bytes = items.reduce((total, item) => total + item.bytes, 0);
    if (!dryRun) log.info({ items: items.length, bytes }, 'garbage was collected');
    const { storedBytes, neededBytes } = plan;
    return { deleted: !dryRun, items, bytes, storedBytes, neededBytes };
  }

  const collect = (request: GarbageCollect): Promise<GarbageReport> => {
    const report = tail.then(() => collectNow(request));
    tail = report.catch(() => undefined);
    return report;
  };

  return {
    show,
    async set(retention) {
      await repository.writeSettings(retention);
      return retention;
    },
    collect,
    async runIfDue() {
      if (!(await show()).automatic) return;
      const lastRunMs = await repository.readLastRunMs();
      const nowMs = clock.nowMs();
      // A clock that was set back must not stop it for years.
      if (lastRunMs !== null && nowMs >= lastRunMs && nowMs - lastRunMs < RUN_EVERY_MS) return;
      try {
        await collect({ dryRun: false });
      } catch (error) {
        if (!(error instanceof CodedError) || error.kind === 'bug') throw error;
        log.info({ reason: error.message }, 'garbage is collected another time');
        return;
      }
      await repository.writeLastRunMs(nowMs);
    },
  };
}
