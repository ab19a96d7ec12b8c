import {
  defaultRetention,
  digestsOf,
  isQualifyJob,
  parseAs,
  quantPrecisions,
  Retention,
} from '@fleetlora/shared/protocol';
import { and, asc, desc, eq, gt, inArray, isNotNull, lt, sql } from 'drizzle-orm';
import { unfinishedJobStates } from '../fleet/ports.js';
import type { NamedContent, RetentionRepository, SearchWeight } from '../retention/ports.js';
import type { Connection } from './database.js';
import { resultSampleBytes, sampleBytes, withoutResultSamples, withoutSamples } from './raw-samples.js';

const SETTINGS_KEY = 'retention';
const LAST_RUN_KEY = 'retention-last-run-ms';
/** Rows that are read or changed in one go: with 1,024 samples a pass, some 2 MB. */
const ROWS_PER_PAGE = 100;

const endedStates = ['finished', 'stopped', 'failed'] as const;

/** What retention reads and deletes across the tables. */
export function createRetentionRepository(connection: Connection): RetentionRepository {
  const { tables, reader, write } = connection;
  const { settings, bases, adapters, datasets, trainings, searches, trials, jobs, releases, rollouts } =
    tables;

  const readSetting = async (key: string): Promise<string | null> => {
    const [row] = await reader.select().from(settings).where(eq(settings.key, key));
    return row?.value ?? null;
  };
  const writeSetting = async (key: string, value: string): Promise<void> => {
    await write((tx) =>
      tx.insert(settings).values({ key, value }).onConflictDoUpdate({ target: settings.key, set: { value } }),
    );
  };
  /** Trials of a search from the highest number down, a page at a time. */
  const trialPage = (from: Connection['reader'], searchId: string, below: number) =>
    from
      .select()
      .from(trials)
      .where(and(eq(trials.searchId, searchId), lt(trials.number, below)))
      .orderBy(desc(trials.number))
      .limit(ROWS_PER_PAGE);
  /** Jobs of a search from the first id on, those of its sentinel included, a page at a time. */
  const jobPage = (from: Connection['reader'], searchId: string, after: string) =>
    from
      .select()
      .from(jobs)
      .where(and(eq(jobs.searchId, searchId), gt(jobs.id, after)))
      .orderBy(asc(jobs.id))
      .limit(ROWS_PER_PAGE);

  return {
    async readSettings() {
      const text = await readSetting(SETTINGS_KEY);
      if (text === null) return null;
      // What an older version stored lacks the settings that came later.
      const stored = { ...defaultRetention, ...(JSON.parse(text) as Partial<Retention>) };
      return parseAs(Retention, stored, 'stored retention');
    },
    writeSettings: (retention) => writeSetting(SETTINGS_KEY, JSON.stringify(retention)),
    async readLastRunMs() {
      const text = await readSetting(LAST_RUN_KEY);
      return text === null ? null : Number(text);
    },
    writeLastRunMs: (lastRunMs) => writeSetting(LAST_RUN_KEY, String(lastRunMs)),

    async listNamedContent() {
      const named: NamedContent[] = [];
      const add = (by: string, ...digests: readonly (string | undefined)[]): void => {
        for (const digest of digests) if (digest !== undefined) named.push({ digest, by });
      };
      for (const row of await reader
        .select({
          name: bases.name,
          digest: bases.digest,
          tokenizer: bases.tokenizerDigest,
          files: bases.files,
        })
        .from(bases))
        add(
          `base "${row.name}"`,
          row.digest,
          row.tokenizer,
          ...quantPrecisions.map((precision) => row.files?.[precision]?.digest),
        );
      for (const row of await reader
        .select({ name: adapters.name, digest: adapters.digest, files: adapters.files })
        .from(adapters))
        add(`adapter "${row.name}"`, row.digest, ...Object.values(row.files));
      for (const { name, digest, splits, task } of await reader
        .select({
          name: datasets.name,
          digest: datasets.digest,
          splits: datasets.splits,
          task: datasets.task,
        })
        .from(datasets)) {
        add(`data set "${name}"`, digest, ...Object.values(splits ?? {}).map((split) => split?.digest));
        if (task?.kind === 'generation' && task.scorer.kind === 'module')
          add(`scorer of data set "${name}"`, task.scorer.digest);
      }
      for (const row of await reader
        .select({
          name: releases.name,
          packageDigest: releases.packageDigest,
          manifest: releases.manifestDigest,
        })
        .from(releases))
        add(`release "${row.name}"`, row.packageDigest, row.manifest);
      for (const row of await reader
        .select({ id: rollouts.id, manifest: rollouts.manifestDigest })
        .from(rollouts))
        add(`rollout ${row.id}`, row.manifest);
      for (const { id, body } of await reader
        .select({ id: jobs.id, body: jobs.body })
        .from(jobs)
        .where(inArray(jobs.state, [...unfinishedJobStates])))
        if (!isQualifyJob(body)) add(`job ${id}`, ...digestsOf(body));
      return named;
    },
    listTrainings: () =>
      reader
        .select({ id: trainings.id, name: trainings.name, state: trainings.state })
        .from(trainings)
        .orderBy(asc(trainings.createdAtMs), asc(trainings.id)),
    async listSearchesEndedBy(ms) {
      // A search that failed at a start of the first version has no time of its end.
      const endedAtMs = sql<number>`coalesce(${searches.endedAtMs}, ${searches.createdAtMs})`;
      const rows = await reader
        .select({ id: searches.id, name: searches.name, endedAtMs, release: releases.name })
        .from(searches)
        .leftJoin(releases, eq(releases.searchId, searches.id))
        .where(and(inArray(searches.state, [...endedStates]), sql`${endedAtMs} <= ${ms}`))
        .orderBy(asc(endedAtMs), asc(searches.id), asc(releases.number));
      const first = new Map(rows.map((row) => [row.id, row] as const).reverse());
      return [...first.values()].reverse().map((row) => ({ ...row, endedAtMs: Number(row.endedAtMs) }));
    },
    async weighSearch(id) {
      let weight: SearchWeight = { trials: 0, jobs: 0, rowBytes: 0, sampleBytes: 0 };
      const add = (kind: 'trials' | 'jobs', page: readonly unknown[], samples: readonly number[]): void => {
        weight = {
          ...weight,
          [kind]: weight[kind] + page.length,
          rowBytes: weight.rowBytes + textBytes(page),
          sampleBytes: weight.sampleBytes + sum(samples),
        };
      };
      for (let below = Number.MAX_SAFE_INTEGER; ; ) {
        const page = await trialPage(reader, id, below);
        if (page.length === 0) break;
        add(
          'trials',
          page,
          page.map(({ measurement }) => sampleBytes(measurement)),
        );
        below = page.at(-1)?.number ?? 0;
      }
      for (let after = ''; ; ) {
        const page = await jobPage(reader, id, after);
        if (page.length === 0) return weight;
        add(
          'jobs',
          page,
          page.map(({ result }) => resultSampleBytes(result)),
        );
        after = page.at(-1)?.id ?? after;
      }
    },
    async hasSamples(id) {
      // `dropSamples` empties the jobs first, then the trials from the highest number down.
      const [row] = await reader
        .select({ measurement: trials.measurement })
        .from(trials)
        .where(and(eq(trials.searchId, id), isNotNull(trials.measurement)))
        .orderBy(asc(trials.number))
        .limit(1);
      return sampleBytes(row?.measurement ?? null) > 0;
    },
    async dropSamples(id) {
      for (let after: string | undefined = ''; after !== undefined; ) {
        const from: string = after;
        after = await write(async (tx) => {
          const page = await jobPage(tx, id, from);
          for (const { id: jobId, result } of page)
            if (resultSampleBytes(result) > 0)
              await tx
                .update(jobs)
                .set({ result: withoutResultSamples(result) })
                .where(eq(jobs.id, jobId));
          return page.at(-1)?.id;
        });
      }
      for (let below: number | undefined = Number.MAX_SAFE_INTEGER; below !== undefined; ) {
        const from: number = below;
        below = await write(async (tx) => {
          const page = await trialPage(tx, id, from);
          for (const { id: trialId, measurement } of page) {
            if (measurement === null || sampleBytes(measurement) === 0) continue;
            await tx
              .update(trials)
              .set({ measurement: withoutSamples(measurement) })
              .where(eq(trials.id, trialId));
          }
          return page.at(-1)?.number;
        });
      }
    },
    deleteSearch: (id) =>
      write(async (tx) => {
        const [ended] = await tx
          .select({ id: searches.id })
          .from(searches)
          .where(and(eq(searches.id, id), inArray(searches.state, [...endedStates])));
        const [release] = await tx
          .select({ id: releases.id })
          .from(releases)
          .where(eq(releases.searchId, id))
          .limit(1);
        const [unfinished] = await tx
          .select({ id: jobs.id })
          .from(jobs)
          .where(and(eq(jobs.searchId, id), inArray(jobs.state, [...unfinishedJobStates])))
          .limit(1);
        if (!ended || release || unfinished) return false;
        await tx.delete(jobs).where(eq(jobs.searchId, id));
        await tx.delete(trials).where(eq(trials.searchId, id));
        await tx.delete(searches).where(eq(searches.id, id));
        return true;
      }),
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const textBytes = (rows: readonly unknown[]): number => sum(rows.map((row) => JSON.stringify(row).length));
