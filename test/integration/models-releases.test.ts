import { readdir } from 'node:fs/promises';
import type { StoredSearch } from '@fleetlora/coordinator/campaign';
import { createReleases, type TrialLookup } from '@fleetlora/coordinator/models';
import { CodedError } from '@fleetlora/shared/errors';
import { openFileSource } from '@fleetlora/shared/node';
import { defaultMeasurePlan, ReleaseManifest, type Search, type Trial } from '@fleetlora/shared/protocol';
import { decodeGenome, digestGenome, encodeGenome, type Form, uniformGenome } from '@fleetlora/shared/space';
import { readFloats, readTensorFile } from '@fleetlora/shared/weights';
import t, { type Test } from 'tap';
import { Compile } from 'typebox/compile';
import { coded } from '../lib/coded.js';
import { openModels, tinyAdapterFiles, tinyBaseFiles } from '../lib/open-models.js';

async function openReleases(t: Test, form: Form) {
  const models = await openModels(t);
  const { catalog, content, store, host, clock, newId, upload } = models;
  const base = await catalog.importBase({ name: 'tiny', files: await upload(tinyBaseFiles()) });
  const adapter = await catalog.importAdapter({
    name: 'lora',
    base: 'tiny',
    files: await upload(tinyAdapterFiles()),
  });
  const rows = ['one', 'two', 'two', 'three', 'four', 'five'].map((prompt) => ({ prompt, completion: 'x' }));
  const digest = await content.put(
    new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join('\n')),
  );
  await catalog.importDataset({ name: 'rows', files: { all: digest } });
  const genome = encodeGenome(uniformGenome(2, 2, 6, form));
  const dataset = await catalog.findDataset('rows');
  const spec: Search['spec'] = {
    name: 'found',
    adapter: 'lora',
    dataset: 'rows',
    deviceClass: 'any',
    strategy: 'random',
    quality: 'loss',
    costs: ['decodeMs'],
    trials: 1,
    seed: 1,
    scoreRows: 1,
    finalRows: 0,
    finalPoints: 0,
    require: [],
    plan: defaultMeasurePlan,
    maxTokens: 64,
  };
  const stored: StoredSearch = {
    id: newId('sea'),
    name: 'found',
    state: 'finished',
    spec,
    adapterId: adapter.id,
    datasetId: dataset.id,
    space: adapter.space,
    spaceSize: 1,
    reason: null,
    chosenTrialId: null,
    chosenReason: null,
    createdAtMs: clock.nowMs(),
    endedAtMs: null,
  };
  const trial: Trial = {
    id: newId('trl'),
    number: 1,
    label: null,
    genome,
    genomeDigest: digestGenome(decodeGenome(genome)),
    state: 'finished',
    deviceId: null,
    score: null,
    finalScore: null,
    measurement: null,
    correction: null,
    reason: null,
  };
  await store.campaign.insertSearch(stored);
  await store.campaign.insertTrial({
    ...trial,
    searchId: stored.id,
    askedSequence: 0,
    toldSequence: 1,
    createdAtMs: clock.nowMs(),
  });
  const search: Search = {
    ...stored,
    finishedTrials: 1,
    infeasibleTrials: 0,
    pendingTrials: 0,
    elapsedSeconds: 0,
  };
  const trials: TrialLookup = {
    async findTrial(name, number) {
      if (name !== 'found') throw new CodedError('NOT_FOUND', `no search "${name}"`);
      if (number !== undefined && number !== '1') throw new CodedError('NOT_FOUND', `no trial "${number}"`);
      return { search, trial };
    },
  };
  const signer = {
    sign: async (manifest: string) => ({ keyId: 'f'.repeat(64), manifest, signature: 'c2lnbmF0dXJl' }),
  };
  const releases = createReleases({
    catalog,
    store: content,
    repository: store.releases,
    trials,
    signer,
    host,
    clock,
    newId,
  });
  t.teardown(() => releases.close());
  return { ...models, releases, base, adapter, search, trial };
}

for (const form of ['unmerged', 'merged'] as const) {
  t.test(
    `${form}: package, manifest and golden prompts of a candidate [2 layers, rank 2, width 6]`,
    async (t) => {
      const { releases, base, adapter, search, trial, content } = await openReleases(t, form);
      const before = await readdir(content.folder);
      const release = await releases.create({ name: 'first', search: 'found' });
      t.match(release, {
        number: 1,
        name: 'first',
        genome: trial.genome,
        searchId: search.id,
        trialId: trial.id,
      });
      t.equal(
        (await readdir(content.folder)).length,
        before.length + 2,
        'package and manifest are kept, the expanded package is not',
      );

      const manifest = JSON.parse(release.signed.manifest) as ReleaseManifest;
      t.ok(Compile(ReleaseManifest).Check(manifest), 'fits the protocol');
      t.match(manifest, {
        releaseId: release.id,
        number: 1,
        baseDigest: base.digest,
        tokenizerDigest: base.tokenizerDigest,
        packageDigest: release.packageDigest,
        packageBytes: release.packageBytes,
        stopIds: [0],
      });
      // Four distinct prompts of the data set; a byte b is token b + 1.
      t.equal(manifest.golden.length, 4);
      t.equal(new Set(manifest.golden.map(({ text }) => text)).size, 4);
      for (const { text, promptIds, expectedIds } of manifest.golden) {
        t.same(
          promptIds,
          [...new TextEncoder().encode(text)].map((byte) => byte + 1),
        );
        t.ok(expectedIds.length >= 1 && expectedIds.length <= 16);
      }

      const source = await openFileSource(content.pathOf(release.packageDigest));
      t.teardown(() => source.close());
      t.equal(source.size, release.packageBytes);
      const file = await readTensorFile(source);
      t.match(file.metadata, {
        format: 'fleetlora-package',
        genome: trial.genome,
        baseDigest: base.digest,
        adapterDigest: adapter.digest,
      });
      if (form === 'unmerged') t.equal((await readFloats(file, 'layers.1.gate.B', [2, 6])).length, 12);
      else t.equal((await readFloats(file, 'layers.1.down', [6, 32])).length, 192);
      t.same(await releases.find('first'), release);
      t.same(await releases.find(release.id), release);
    },
  );
}

t.test('numbers grow by one, also when two releases are asked for at once', async (t) => {
  const { releases } = await openReleases(t, 'unmerged');
  const made = await Promise.all([
    releases.create({ name: 'a', search: 'found', trial: '1', goldenPrompts: ['hello'] }),
    releases.create({ name: 'b', search: 'found', trial: '1', goldenPrompts: ['hello'] }),
  ]);
  t.same(
    made.map(({ number }) => number),
    [1, 2],
  );
  t.equal(made[0]?.packageDigest, made[1]?.packageDigest, 'equal candidates, equal package');
  t.same(await releases.list(), made);
});

t.test('releases that cannot be made', async (t) => {
  const { releases } = await openReleases(t, 'unmerged');
  await t.rejects(releases.create({ name: 'a', search: 'lost' }), coded('NOT_FOUND', '"lost"'));
  await t.rejects(releases.create({ name: 'a', search: 'found', trial: '9' }), coded('NOT_FOUND', '"9"'));
  // 64 positions: 63 prompt tokens leave room for an answer, 64 do not.
  const prompts = (length: number) => ['x'.repeat(length)];
  await t.rejects(
    releases.create({ name: 'a', search: 'found', goldenPrompts: prompts(64) }),
    coded('BAD_REQUEST', 63),
  );
  await t.rejects(releases.find('a'), coded('NOT_FOUND', '"a"'));
  await releases.create({ name: 'a', search: 'found', goldenPrompts: prompts(63) });
  await t.rejects(releases.create({ name: 'a', search: 'found' }), coded('ALREADY_EXISTS', '"a"'));
});
