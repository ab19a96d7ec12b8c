import type { StoredSearch, StoredTrial } from '@fleetlora/coordinator/campaign';
import type { StoredJob } from '@fleetlora/coordinator/fleet';
import type { Store } from '@fleetlora/coordinator/store';
import { defaultRetention, type Measurement, type Release, type Retention } from '@fleetlora/shared/protocol';
import { testOnBothEngines } from '../lib/store-engines.js';
import { letterDigest, storedSearch, storedSpace, storedTrial } from '../lib/stored-records.js';
import { jobBody, measurement } from '../lib/test-fleet.js';

const trialOf = (search: string, number: number, measured: Measurement | null): StoredTrial =>
  storedTrial(`srch_${search}`, number, {
    state: measured ? 'finished' : 'failed',
    deviceId: 'dev_01',
    measurement: measured,
  });
const jobOf = (search: string, number: number, changes: Partial<StoredJob> = {}): StoredJob => ({
  id: `job_${search}_${number}`,
  searchId: `srch_${search}`,
  kind: 'trial',
  trialIds: [`trl_${search}_${number}`],
  deviceId: 'dev_01',
  state: 'SUCCEEDED',
  body: {
    ...jobBody,
    baseDigest: letterDigest('7'),
    sentinelBaseDigest: letterDigest('0'),
    adapterDigest: letterDigest('8'),
  },
  sends: 1,
  createdAtMs: 21,
  sentAtMs: 22,
  endedAtMs: 23,
  result: { jobId: 'job_0123456789', outcome: 'measured', measurement },
  reason: null,
  ...changes,
});
const releaseOf = (name: string, search: string, number: number): Release => ({
  id: `rel_${name}`,
  number,
  name,
  searchId: `srch_${search}`,
  trialId: `trl_${search}_0`,
  genome: 'g1:u:8.8.8.8.100/8.8.8.8.0',
  packageDigest: letterDigest('1'),
  packageBytes: 1,
  manifestDigest: letterDigest('2'),
  signed: { keyId: letterDigest('3'), manifest: '{}', signature: 'AAAA' },
  createdAtMs: 30,
});

async function withModels(store: Store): Promise<Store> {
  await store.catalog.insertBase({
    id: 'base_01',
    name: 'tiny',
    digest: letterDigest('a'),
    bytes: 1,
    parameters: 1,
    layers: 2,
    hidden: 8,
    ffnWidth: 16,
    kvHeads: 1,
    vocab: 32,
    tokenizerDigest: letterDigest('b'),
    files: {
      fp32: { digest: letterDigest('a'), bytes: 1 },
      q4: { digest: letterDigest('f'), bytes: 1 },
    },
    createdAtMs: 1,
  });
  await store.catalog.insertAdapter({
    id: 'adp_01',
    name: 'wide',
    baseId: 'base_01',
    digest: letterDigest('c'),
    bytes: 1,
    rankMax: 8,
    alpha: 16,
    space: storedSpace,
    files: { 'adapter_config.json': letterDigest('d'), 'adapter_model.safetensors': letterDigest('4') },
    createdAtMs: 1,
  });
  await store.catalog.insertDataset({
    id: 'data_01',
    name: 'rows',
    digest: letterDigest('e'),
    rows: 3,
    splits: { train: { digest: letterDigest('e'), rows: 2 }, test: { digest: letterDigest('9'), rows: 1 } },
    task: { kind: 'generation', maxNewTokens: 8, scorer: { kind: 'module', digest: letterDigest('5') } },
    report: null,
    createdAtMs: 1,
  });
  return store;
}

/** A search with that many trials, each with a job of the same number. */
async function addSearch(store: Store, name: string, trials: number, changes: Partial<StoredSearch> = {}) {
  await store.campaign.insertSearch(storedSearch(name, changes));
  for (let number = 0; number < trials; number++) {
    await store.campaign.insertTrial(trialOf(name, number, measurement));
    await store.fleet.jobs.insert(jobOf(name, number));
  }
}

testOnBothEngines((t, { fresh }) => {
  t.test('settings: none, then what was set last', async (t) => {
    const { retention } = await fresh(t);
    t.equal(await retention.readSettings(), null);
    await retention.writeSettings(defaultRetention);
    const changed: Retention = { ...defaultRetention, samplesDays: null, artifactsBytes: 2 ** 50 };
    await retention.writeSettings(changed);
    t.same(await retention.readSettings(), changed);
    t.equal(await retention.readLastRunMs(), null);
    await retention.writeLastRunMs(1);
    await retention.writeLastRunMs(1_700_000_000_000);
    t.equal(await retention.readLastRunMs(), 1_700_000_000_000);
  });

  t.test('settings: what came later has its default', async (t) => {
    const store = await fresh(t);
    await store.identity.settings.insert('retention', '{"samplesDays":7}');
    t.same(await store.retention.readSettings(), { ...defaultRetention, samplesDays: 7 });
  });

  t.test('named content: every file of every record, and of jobs while they are unfinished', async (t) => {
    const store = await withModels(await fresh(t));
    const digests = async (): Promise<string> =>
      [...new Set((await store.retention.listNamedContent()).map((named) => named.digest[0]))]
        .sort()
        .join('');
    t.equal(await digests(), '459abcdef');
    await addSearch(store, 'one', 1);
    t.equal(await digests(), '459abcdef', 'a job that is over names nothing');
    await store.fleet.jobs.insert(jobOf('one', 1, { state: 'QUEUED', result: null }));
    t.equal(await digests(), '045789abcdef');
    await store.releases.insertRelease(releaseOf('first', 'one', 1));
    t.equal(await digests(), '01245789abcdef');
    const rollout = { id: 'rol_01', releaseId: 'rel_first', state: 'running' as const, createdAtMs: 1 };
    await store.rollouts.insertRollout({ ...rollout, manifestDigest: letterDigest('6') }, []);
    t.equal(await digests(), '012456789abcdef');
    const by = new Map(
      (await store.retention.listNamedContent()).map((named) => [named.digest[0], named.by]),
    );
    t.equal(by.get('a'), 'base "tiny"');
    t.equal(by.get('f'), 'base "tiny"', 'its file in q4');
    t.equal(by.get('5'), 'scorer of data set "rows"');
    t.equal(by.get('7'), 'job job_one_1');
  });

  t.test('ended searches: by their end, running ones never, each once with its first release', async (t) => {
    const store = await withModels(await fresh(t));
    await addSearch(store, 'late', 1, { endedAtMs: 2000 });
    await addSearch(store, 'early', 1, { endedAtMs: 1000, state: 'stopped' });
    await addSearch(store, 'lost', 0, { endedAtMs: null, createdAtMs: 500, state: 'failed' });
    await addSearch(store, 'going', 0, { endedAtMs: null, state: 'running' });
    await addSearch(store, 'ending', 0, { endedAtMs: null, state: 'finalizing' });
    await store.releases.insertRelease(releaseOf('first', 'early', 1));
    await store.releases.insertRelease(releaseOf('second', 'early', 2));
    const names = async (ms: number) =>
      (await store.retention.listSearchesEndedBy(ms)).map(({ name, release }) => `${name} ${release}`);
    t.same(await names(499), []);
    t.same(await names(500), ['lost null']);
    t.same(await names(999), ['lost null']);
    t.same(await names(1000), ['lost null', 'early first']);
    t.same(await names(2000), ['lost null', 'early first', 'late null']);
    const [lost, early] = await store.retention.listSearchesEndedBy(1000);
    t.same([lost?.endedAtMs, early?.endedAtMs], [500, 1000]);
  });

  t.test('samples of 101 trials, one more than a page: weighed, dropped, the rest stays', async (t) => {
    const store = await withModels(await fresh(t));
    await addSearch(store, 'one', 101);
    await addSearch(store, 'two', 1);
    await store.campaign.insertTrial(trialOf('one', 101, null));
    await store.fleet.jobs.insert(
      jobOf('one', 101, { state: 'FAILED', result: { jobId: 'job_x', outcome: 'failed', reason: 'no' } }),
    );
    const { retention } = store;
    const before = await retention.weighSearch('srch_one');
    // prefill [20] and decode [2,3]: "20" and "2,3", in the trial and in its job.
    t.match(before, { trials: 102, jobs: 102, sampleBytes: 101 * 2 * (2 + 3) });
    t.ok(before.rowBytes > before.sampleBytes);
    t.equal(await retention.hasSamples('srch_one'), true);
    await retention.dropSamples('srch_one');
    t.equal(await retention.hasSamples('srch_one'), false);
    const after = await retention.weighSearch('srch_one');
    t.same(after, { ...before, sampleBytes: 0, rowBytes: before.rowBytes - before.sampleBytes });

    const emptied = {
      ...measurement,
      prefill: { ...measurement.prefill, samplesMs: [] },
      decode: { ...measurement.decode, samplesMs: [] },
    };
    const trials = await store.campaign.listTrials('srch_one');
    t.same(trials[0], trialOf('one', 0, emptied), 'percentiles and n stay');
    t.same(trials[100], trialOf('one', 100, emptied));
    t.same(trials[101], trialOf('one', 101, null));
    t.match(await store.fleet.jobs.find('job_one_0'), { result: { measurement: emptied } });
    t.match(await store.fleet.jobs.find('job_one_101'), { result: { outcome: 'failed', reason: 'no' } });
    t.same((await store.campaign.listTrials('srch_two'))[0], trialOf('two', 0, measurement));
    await retention.dropSamples('srch_one');
    t.same(await retention.weighSearch('srch_one'), after, 'once more is harmless');
    t.equal(await retention.hasSamples('srch_none'), false);
  });

  t.test('jobs of a batch and of the sentinel: samples of all their candidates', async (t) => {
    const store = await withModels(await fresh(t));
    await store.campaign.insertSearch(storedSearch('one'));
    const none = { percent: 0, low: 0, high: 0 };
    const both = { prefill: none, decode: none };
    const batched = (position: number): Measurement => ({
      ...measurement,
      batch: { size: 2, position, seed: 1, duplicate: both, difference: both },
    });
    const [first, other] = [batched(0), batched(1)];
    const shared = (samples: number[]): Measurement => ({
      ...first,
      batch: first.batch && { ...first.batch, sharedSamplesMs: { prefill: samples, decode: [] } },
    });
    const batch: StoredJob['result'] = {
      ...{ jobId: 'job_0123456789', outcome: 'measured', measurement: shared([123]), others: [other] },
    };
    await store.fleet.jobs.insert(jobOf('one', 0, { trialIds: ['trl_one_0', 'trl_one_1'], result: batch }));
    await store.fleet.jobs.insert(jobOf('one', 1, { kind: 'sentinel', trialIds: [] }));
    for (const [number, measured] of [shared([123]), other].entries())
      await store.campaign.insertTrial(trialOf('one', number, measured));
    const { retention } = store;
    // "20", "2,3" of each of two candidates and "123" of the first, in trials and job; 5 of the sentinel.
    t.match(await retention.weighSearch('srch_one'), { trials: 2, jobs: 2, sampleBytes: 2 * 13 + 5 });
    await retention.dropSamples('srch_one');
    t.match(await retention.weighSearch('srch_one'), { jobs: 2, sampleBytes: 0 });
    const empty = (measured: Measurement): Measurement => ({
      ...measured,
      prefill: { ...measured.prefill, samplesMs: [] },
      decode: { ...measured.decode, samplesMs: [] },
    });
    t.same((await store.fleet.jobs.find('job_one_0'))?.result, {
      ...batch,
      measurement: empty(shared([])),
      others: [empty(other)],
    });
    t.same((await store.campaign.listTrials('srch_one'))[1]?.measurement, empty(other));
    t.equal(await retention.deleteSearch('srch_one'), true);
    t.same(await store.fleet.jobs.listOfSearch('srch_one'), [], 'the sentinel goes with its search');
  });

  t.test('a search goes with its trials and jobs, unless something needs it', async (t) => {
    const store = await withModels(await fresh(t));
    await addSearch(store, 'gone', 3);
    await addSearch(store, 'stays', 2);
    await addSearch(store, 'released', 1);
    await addSearch(store, 'working', 1);
    await addSearch(store, 'running', 1, { state: 'running', endedAtMs: null });
    await store.releases.insertRelease(releaseOf('first', 'released', 1));
    await store.fleet.jobs.insert(jobOf('working', 1, { state: 'SENT', result: null }));
    const { retention } = store;
    for (const name of ['released', 'working', 'running'])
      t.equal(await retention.deleteSearch(`srch_${name}`), false, name);
    t.equal(await retention.deleteSearch('srch_none'), false, 'none has this id');
    t.equal(await retention.deleteSearch('srch_gone'), true);
    t.equal(await retention.deleteSearch('srch_gone'), false, 'a second time');
    t.same((await store.campaign.listSearches()).map(({ name }) => name).sort(), [
      'released',
      'running',
      'stays',
      'working',
    ]);
    t.same(await store.campaign.listTrials('srch_gone'), []);
    t.equal(await store.fleet.jobs.find('job_gone_2'), null);
    t.equal((await store.campaign.listTrials('srch_stays')).length, 2);
    t.not(await store.fleet.jobs.find('job_stays_1'), null);
  });

  t.test('trainings, oldest first', async (t) => {
    const store = await withModels(await fresh(t));
    t.same(await store.retention.listTrainings(), []);
    const options = {
      steps: 10,
      batchRows: 4,
      learningRate: 3e-4,
      warmupSteps: 1,
      weightDecay: 0,
      clipNorm: 1,
      sampling: 'sandwich' as const,
      randomSubnets: 1,
      maxTokens: 64,
      seed: 1,
      checkpointEverySteps: 5,
      threads: 1,
    };
    const training = {
      baseId: 'base_01',
      datasetId: 'data_01',
      options,
      space: storedSpace,
      step: 0,
      loss: null,
      tokensPerSecond: null,
      etaSeconds: null,
      adapterId: null,
      error: null,
    };
    await store.trainings.insertTraining({
      ...training,
      id: 'trn_b',
      name: 'b',
      state: 'failed',
      createdAtMs: 1,
    });
    await store.trainings.insertTraining({
      ...training,
      id: 'trn_a',
      name: 'a',
      state: 'running',
      createdAtMs: 2,
    });
    t.same(await store.retention.listTrainings(), [
      { id: 'trn_b', name: 'b', state: 'failed' },
      { id: 'trn_a', name: 'a', state: 'running' },
    ]);
  });
});
