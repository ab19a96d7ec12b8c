import type { StoredSearch, StoredTrial } from '@fleetlora/coordinator/campaign';
import type { StoredJob } from '@fleetlora/coordinator/fleet';
import { openStore, type Store } from '@fleetlora/coordinator/store';
import type { TrainingRecord } from '@fleetlora/coordinator/training';
import type { Adapter, Base, Dataset, Release, Score } from '@fleetlora/shared/protocol';
import { coded } from '../lib/coded.js';
import { testOnBothEngines } from '../lib/store-engines.js';
import { letterDigest, storedSearch, storedSpace, storedTrial } from '../lib/stored-records.js';
import { testFacts } from '../lib/test-device.js';
import { jobBody, measurement, testQualification } from '../lib/test-fleet.js';

const base: Base = {
  id: 'base_01',
  name: 'tiny',
  digest: letterDigest('a'),
  bytes: 2 ** 40,
  parameters: 7_300_000,
  layers: 8,
  hidden: 256,
  ffnWidth: 768,
  kvHeads: 4,
  vocab: 4096,
  tokenizerDigest: letterDigest('b'),
  files: { fp32: { digest: letterDigest('a'), bytes: 2 ** 40 } },
  createdAtMs: 1_700_000_000_000,
};
const adapter: Adapter = {
  id: 'adp_01',
  name: 'wide',
  baseId: base.id,
  digest: letterDigest('c'),
  bytes: 5_000_000,
  rankMax: 8,
  alpha: 16.5,
  space: storedSpace,
  files: { 'adapter_config.json': letterDigest('d') },
  createdAtMs: 1,
};
const dataset: Dataset = {
  id: 'data_01',
  name: 'rows',
  digest: letterDigest('e'),
  rows: 3080,
  splits: { all: { digest: letterDigest('e'), rows: 3080 } },
  task: { kind: 'completion' },
  report: null,
  createdAtMs: 1,
};
const score: Score = {
  rows: 200,
  correct: 150,
  accuracy: 75,
  accuracyLow: 68.6,
  accuracyHigh: 80.5,
  loss: 0.1 + 0.2,
};
const search = storedSearch(
  'first',
  { id: 'srch_01', state: 'running', spaceSize: 1.5e30, endedAtMs: null },
  { trials: 40, scoreRows: 200, finalRows: 1000, finalPoints: 8, require: ['accuracy>=max-1.0'] },
);
const trial = (number: number, changes: Partial<StoredTrial> = {}): StoredTrial =>
  storedTrial(search.id, number, {
    id: `trl_0${number}`,
    label: number === 0 ? 'max' : null,
    createdAtMs: 20 + number,
    ...changes,
  });
const release: Release = {
  id: 'rel_01',
  number: 1,
  name: 'one',
  searchId: search.id,
  trialId: 'trl_00',
  genome: 'g1:u:8.8.8.8.100/8.8.8.8.0',
  packageDigest: letterDigest('1'),
  packageBytes: 123,
  manifestDigest: letterDigest('2'),
  signed: { keyId: letterDigest('3'), manifest: '{"name":"ä \\u0000"}', signature: 'AAAA' },
  createdAtMs: 30,
};
const training: TrainingRecord = {
  id: 'trn_01',
  name: 'run',
  baseId: base.id,
  datasetId: dataset.id,
  state: 'running',
  options: {
    steps: 10,
    batchRows: 4,
    learningRate: 3e-4,
    warmupSteps: 1,
    weightDecay: 0,
    clipNorm: 1,
    sampling: 'sandwich',
    randomSubnets: 1,
    maxTokens: 64,
    seed: 4_294_967_295,
    checkpointEverySteps: 5,
    threads: 1,
  },
  space: storedSpace,
  step: 0,
  loss: null,
  tokensPerSecond: null,
  etaSeconds: null,
  adapterId: null,
  error: null,
  createdAtMs: 5,
};

/** A store that holds base, adapter and data set. */
async function withModels(store: Store): Promise<Store> {
  await store.catalog.insertBase(base);
  await store.catalog.insertAdapter(adapter);
  await store.catalog.insertDataset(dataset);
  return store;
}
async function withSearch(store: Store): Promise<Store> {
  await withModels(store);
  await store.campaign.insertSearch(search);
  return store;
}

testOnBothEngines((t, { place, fresh }) => {
  t.test('settings: the first value stays', async (t) => {
    const { settings } = (await fresh(t)).identity;
    t.equal(await settings.read('key'), null);
    await settings.insert('key', 'one');
    await settings.insert('key', 'two');
    t.equal(await settings.read('key'), 'one');
  });

  t.test('codes', async (t) => {
    const { codes } = (await fresh(t)).identity;
    const code = { hash: 'h', deviceClass: null, createdAtMs: 1, expiresAtMs: 2 ** 52, deviceId: null };
    await codes.insert(code);
    t.same(await codes.find('h'), code);
    t.equal(await codes.find('other'), null);
    await codes.markUsed('h', 'dev_01');
    t.same(await codes.find('h'), { ...code, deviceId: 'dev_01' });
  });

  t.test('devices: as enrolment and as the fleet see them', async (t) => {
    const { identity, fleet } = await fresh(t);
    const device = {
      id: 'dev_01',
      name: 'board',
      deviceClass: 'pi',
      publicKey: 'key',
      facts: testFacts,
      enrolledAtMs: 7,
    };
    await identity.devices.insertEnrolled(device);
    t.same(await identity.devices.findEnrolled('dev_01'), device);
    t.same(await identity.devices.findByPublicKey('key'), device);
    t.equal(await identity.devices.findByPublicKey('other'), null);
    t.equal(await identity.devices.isNameTaken('board'), true);
    t.equal(await identity.devices.isNameTaken('Board'), false);
    await t.rejects(
      identity.devices.insertEnrolled({ ...device, id: 'dev_02', name: 'b' }),
      'a key has one device',
    );
    const { publicKey: _, ...shown } = device;
    const unseen = {
      online: false,
      session: null,
      lastSeenAtMs: null,
      installedReleaseId: null,
      serveUrl: null,
      labels: [],
      conditions: null,
      qualification: null,
      quarantine: null,
    };
    t.same(await fleet.devices.find('dev_01'), { ...shown, ...unseen });
    await fleet.devices.update('dev_01', { online: true, session: 2 ** 40, serveUrl: 'http://x' });
    t.match(await fleet.devices.findByIdOrName('board'), {
      online: true,
      session: 2 ** 40,
      serveUrl: 'http://x',
    });
    await identity.devices.insertEnrolled({
      ...device,
      id: 'dev_00',
      name: 'dev_01',
      publicKey: 'k',
      enrolledAtMs: 8,
    });
    t.equal((await fleet.devices.findByIdOrName('dev_01'))?.id, 'dev_01', 'an id wins over a name');
    t.same(
      (await fleet.devices.list()).map(({ id }) => id),
      ['dev_01', 'dev_00'],
      'by enrolment',
    );
    await fleet.devices.markAllOffline();
    t.equal((await fleet.devices.find('dev_01'))?.online, false);
    const judged = {
      qualification: { ...testQualification, atMs: 5 },
      quarantine: { reason: 'too slow', sinceMs: 6 },
    };
    await fleet.devices.update('dev_01', judged);
    t.match(await fleet.devices.find('dev_01'), judged);
    await fleet.devices.update('dev_01', { quarantine: null });
    t.match(await fleet.devices.find('dev_01'), { ...judged, quarantine: null });
  });

  t.test('jobs', async (t) => {
    const { jobs } = (await fresh(t)).fleet;
    const qualifyBody = { kind: 'qualify', runs: 5, pauseMs: 1000, timeoutMs: 60_000 } as const;
    const job = (id: string, changes: Partial<StoredJob> = {}): StoredJob => ({
      id,
      kind: 'trial',
      searchId: 'srch_01',
      trialIds: ['trl_01'],
      deviceId: 'dev_01',
      state: 'QUEUED',
      body: jobBody,
      sends: 0,
      createdAtMs: 1,
      sentAtMs: null,
      endedAtMs: null,
      result: null,
      reason: null,
      ...changes,
    });
    await jobs.insert(job('job_03', { createdAtMs: 0, trialIds: ['trl_02', 'trl_03'] }));
    await jobs.insert(job('job_02', { deviceId: 'dev_02' }));
    await jobs.insert(job('job_01'));
    await t.rejects(jobs.insert(job('job_01')), 'an id is there once');
    const ids = (rows: StoredJob[]) => rows.map(({ id }) => id);
    t.same(ids(await jobs.listUnfinished()), ['job_03', 'job_01', 'job_02'], 'by creation, then by id');
    t.same(ids(await jobs.listUnfinished('dev_02')), ['job_02']);
    const result = { jobId: 'job_01', outcome: 'measured', measurement } as const;
    await jobs.update('job_01', { state: 'SUCCEEDED', sends: 1, sentAtMs: 2, endedAtMs: 3, result });
    t.same(
      await jobs.find('job_01'),
      job('job_01', { state: 'SUCCEEDED', sends: 1, sentAtMs: 2, endedAtMs: 3, result }),
    );
    await jobs.update('job_02', { state: 'SENT' });
    t.same(ids(await jobs.listUnfinished()), ['job_03', 'job_02'], 'what is over is not listed');
    await jobs.insert(
      job('job_04', { searchId: '', kind: 'qualification', trialIds: [], body: qualifyBody }),
    );
    t.same(
      await jobs.find('job_04'),
      job('job_04', { searchId: '', kind: 'qualification', trialIds: [], body: qualifyBody }),
      'a job of no trial',
    );
    t.same(ids(await jobs.listOfSearch('srch_01')), ['job_03', 'job_01', 'job_02']);
    t.same(ids(await jobs.listOfSearch('srch_02')), []);
    t.same((await jobs.find('job_03'))?.trialIds, ['trl_02', 'trl_03'], 'a job of several trials');
    await jobs.insert(job('job_05', { kind: 'sentinel', trialIds: [], createdAtMs: 9 }));
    t.same(ids(await jobs.listOfSearch('srch_01')), ['job_03', 'job_01', 'job_02', 'job_05']);
    t.same(ids(await jobs.listOfSearch('srch_01', 'trial')), ['job_03', 'job_01', 'job_02']);
    t.same(ids(await jobs.listOfSearch('srch_01', 'sentinel')), ['job_05']);
  });

  t.test('the ended qualifications of a device, but for the newest, are deleted', async (t) => {
    const { jobs } = (await fresh(t)).fleet;
    const insert = (id: string, deviceId: string, createdAtMs: number, changes: Partial<StoredJob> = {}) =>
      jobs.insert({
        ...{ id, deviceId, createdAtMs, kind: 'qualification', searchId: '', trialIds: [], state: 'FAILED' },
        body: { kind: 'qualify', runs: 5, pauseMs: 1000, timeoutMs: 60_000 },
        ...{ sends: 1, sentAtMs: 2, endedAtMs: 3, result: null, reason: 'no space' },
        ...changes,
      });
    for (const [id, createdAtMs] of [
      ['job_e', 1],
      ['job_b', 2],
      ['job_d', 2],
      ['job_a', 4],
    ] as const)
      await insert(id, 'dev_01', createdAtMs);
    await insert('job_c', 'dev_01', 0, { state: 'SENT', endedAtMs: null });
    await insert('job_f', 'dev_02', 0);
    await insert('job_g', 'dev_01', 0, {
      ...{ kind: 'trial', searchId: 'srch_01', trialIds: ['trl_01'], body: jobBody },
    });
    const left = async () => {
      const found = await Promise.all([...'abcdefg'].map((letter) => jobs.find(`job_${letter}`)));
      return found.flatMap((job) => (job === null ? [] : [job.id.slice(-1)])).join('');
    };
    await jobs.deleteQualifications('dev_01', 4);
    t.equal(await left(), 'abcdefg');
    await jobs.deleteQualifications('dev_01', 2);
    t.equal(await left(), 'acdfg', 'by creation, then by id; unfinished ones, others and trials stay');
    await jobs.deleteQualifications('dev_01', 0);
    t.equal(await left(), 'cfg');
  });

  t.test('catalog: names are unique within their kind', async (t) => {
    const { catalog } = await withModels(await fresh(t));
    t.same(await catalog.listBases(), [base]);
    t.same(await catalog.findBase('tiny'), base);
    t.same(await catalog.findBase(base.id), base);
    t.equal(await catalog.findBase('other'), null);
    await t.rejects(catalog.insertBase({ ...base, id: 'base_02' }), coded('ALREADY_EXISTS', '"tiny"'));
    t.same(await catalog.findAdapter('wide'), adapter);
    t.same(await catalog.listAdapters(), [adapter]);
    await t.rejects(catalog.insertAdapter({ ...adapter, id: 'adp_02' }), coded('ALREADY_EXISTS', '"wide"'));
    await t.rejects(
      catalog.insertAdapter({ ...adapter, id: 'adp_02', name: 'x', baseId: 'none' }),
      'of no base',
    );
    t.same(await catalog.findDataset('rows'), dataset);
    t.same(await catalog.listDatasets(), [dataset]);
    await t.rejects(catalog.insertDataset({ ...dataset, id: 'data_02' }), coded('ALREADY_EXISTS', '"rows"'));
    await catalog.insertBase({ ...base, id: 'base_00', name: 'newer', createdAtMs: base.createdAtMs + 1 });
    t.same(
      (await catalog.listBases()).map(({ name }) => name),
      ['tiny', 'newer'],
    );
  });

  t.test('a base: heads and files are noted later, and nothing else changes', async (t) => {
    const { catalog } = await withModels(await fresh(t));
    const old = { ...base, id: 'base_02', name: 'old', kvHeads: null };
    await catalog.insertBase(old);
    await catalog.updateBase(old.id, { kvHeads: 2 });
    const files = { ...base.files, q4: { digest: letterDigest('4'), bytes: 5 } };
    await catalog.updateBase(old.id, { files });
    t.same(await catalog.findBase('old'), { ...old, kvHeads: 2, files });
    t.same(await catalog.findBase('tiny'), base, 'the other one is as it was');
    await catalog.updateBase('base_03', { kvHeads: 2 });
  });

  t.test('trainings', async (t) => {
    const { trainings } = await withModels(await fresh(t));
    await trainings.insertTraining(training);
    t.same(await trainings.findTraining('run'), training);
    await t.rejects(
      trainings.insertTraining({ ...training, id: 'trn_02' }),
      coded('ALREADY_EXISTS', '"run"'),
    );
    const further: TrainingRecord = {
      ...training,
      step: 7,
      loss: 1.25,
      tokensPerSecond: 1e4,
      etaSeconds: 0.5,
    };
    await trainings.updateTraining({ ...further, createdAtMs: 99 });
    t.same(await trainings.listTrainings(), [further], 'the time of its creation stays');
  });

  t.test('searches and trials', async (t) => {
    const { campaign } = await withSearch(await fresh(t));
    t.same(await campaign.findSearch('first'), search);
    await t.rejects(campaign.insertSearch({ ...search, id: 'srch_02' }), coded('ALREADY_EXISTS', '"first"'));
    await campaign.insertSearch({
      ...search,
      id: 'srch_02',
      name: 'second',
      state: 'finalizing',
      createdAtMs: 11,
    });
    await campaign.insertSearch({
      ...search,
      id: 'srch_03',
      name: 'third',
      state: 'finished',
      createdAtMs: 12,
    });
    const names = (rows: StoredSearch[]) => rows.map(({ name }) => name);
    t.same(names(await campaign.listSearches()), ['third', 'second', 'first']);
    t.same(names(await campaign.listUnfinishedSearches()), ['first', 'second']);
    await campaign.updateSearch(search.id, { state: 'finished', chosenTrialId: 'trl_00', endedAtMs: 50 });
    t.match(await campaign.findSearch(search.id), {
      state: 'finished',
      chosenTrialId: 'trl_00',
      endedAtMs: 50,
    });

    await campaign.insertTrial(trial(1));
    await campaign.insertTrial(trial(0));
    await t.rejects(campaign.insertTrial(trial(1, { id: 'trl_09' })), 'a number is there once');
    t.same(await campaign.listTrials(search.id), [trial(0), trial(1)], 'by number');
    const correction = { decode: 1.08, prefill: 1, sentinelJobId: 'job_01' };
    const measured = { deviceId: 'dev_01', measurement, correction };
    const end = { state: 'finished', ...measured, score, toldSequence: 3 } as const;
    await campaign.updateTrial('trl_01', end);
    t.same(await campaign.listTrials(search.id), [trial(0), trial(1, end)]);
    t.same(await campaign.countTrials(search.id), { pending: 1, finished: 1 });
    t.same(await campaign.countTrials('srch_02'), {});
  });

  t.test('releases: name and number are unique', async (t) => {
    const store = await withSearch(await fresh(t));
    await store.campaign.insertTrial(trial(0));
    t.equal(await store.releases.lastReleaseNumber(), 0);
    await store.releases.insertRelease(release);
    t.same(await store.releases.findRelease('one'), release);
    t.equal(await store.releases.lastReleaseNumber(), 1);
    const clash = { ...release, id: 'rel_02' };
    await t.rejects(store.releases.insertRelease({ ...clash, number: 2 }), coded('ALREADY_EXISTS', '"one"'));
    await t.rejects(store.releases.insertRelease({ ...clash, name: 'two' }), coded('ALREADY_EXISTS', 1));
    await store.releases.insertRelease({ ...clash, name: 'two', number: 10 });
    t.same(
      (await store.releases.listReleases()).map(({ number }) => number),
      [1, 10],
    );
    t.equal(await store.releases.lastReleaseNumber(), 10);
  });

  t.test('rollouts and their devices', async (t) => {
    const store = await withSearch(await fresh(t));
    await store.campaign.insertTrial(trial(0));
    await store.releases.insertRelease(release);
    const rollout = (id: string, state: 'running' | 'succeeded', createdAtMs: number) => ({
      id,
      releaseId: release.id,
      state,
      manifestDigest: release.manifestDigest,
      createdAtMs,
    });
    const device = (rolloutId: string, deviceId: string) => ({
      rolloutId,
      deviceId,
      name: `name of ${deviceId}`,
      state: 'waiting' as const,
      reason: null,
      healthy: null,
      checked: null,
      updatedAtMs: 1,
      sentAtMs: null,
    });
    const devices = [device('roll_01', 'dev_01'), device('roll_01', 'dev_02')];
    const { rollouts } = store;
    await rollouts.insertRollout(rollout('roll_01', 'running', 1), devices);
    await rollouts.insertRollout(rollout('roll_02', 'succeeded', 2), []);
    await t.rejects(
      rollouts.insertRollout(rollout('roll_03', 'running', 3), [
        device('roll_03', 'd'),
        device('roll_03', 'd'),
      ]),
      'a device is in a rollout once',
    );
    t.equal(await rollouts.findRollout('roll_03'), null, 'all of it or nothing');
    t.same(await rollouts.findRollout('roll_01'), { ...rollout('roll_01', 'running', 1), devices });
    t.same(
      (await rollouts.listRollouts()).map(({ id }) => id),
      ['roll_02', 'roll_01'],
      'newest first',
    );
    t.same(
      (await rollouts.listRunningRollouts()).map(({ id }) => id),
      ['roll_01'],
    );
    const change = { state: 'succeeded', healthy: 4, checked: 4, updatedAtMs: 9, sentAtMs: 8 } as const;
    await rollouts.updateRolloutDevice('roll_01', 'dev_02', change);
    t.same((await rollouts.findRollout('roll_01'))?.devices, [devices[0], { ...devices[1], ...change }]);
    await rollouts.updateRollout('roll_01', 'failed');
    t.same(await rollouts.listRunningRollouts(), []);
  });

  t.test(
    'a transaction that throws leaves nothing, one that ends is there after opening again',
    async (t) => {
      const where = await place(t);
      const open = () => openStore(where);
      const store = await open();
      const { identity } = store;
      const half = identity.transact(async ({ settings }) => {
        await settings.insert('a', '1');
        t.equal(await settings.read('a'), '1', 'it sees its own changes');
        throw new Error('changed my mind');
      });
      await t.rejects(half, { message: 'changed my mind' });
      t.equal(await identity.settings.read('a'), null);
      await identity.transact(({ settings }) => settings.insert('b', '2'));
      await store.close();
      const again = await open();
      t.teardown(() => again.close());
      t.equal(await again.identity.settings.read('b'), '2');
    },
  );

  t.test('100 transactions at once all succeed, one after another', async (t) => {
    const { fleet, identity } = await fresh(t);
    const enrolled = {
      id: 'dev_01',
      name: 'n',
      deviceClass: 'c',
      publicKey: 'k',
      facts: testFacts,
      enrolledAtMs: 0,
    };
    await identity.devices.insertEnrolled(enrolled);
    await fleet.devices.update('dev_01', { session: 0 });
    const addOne = () =>
      fleet.transact(async ({ devices }) => {
        const { session } = (await devices.find('dev_01')) ?? {};
        await devices.update('dev_01', { session: (session ?? 0) + 1 });
      });
    await Promise.all(Array.from({ length: 100 }, addOne));
    t.equal((await fleet.devices.find('dev_01'))?.session, 100, 'no update was lost');
  });
});
