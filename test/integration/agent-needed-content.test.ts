import { writeFile } from 'node:fs/promises';
import { type InstalledRelease, type InstallRecord, listNeededContent } from '@fleetlora/agent/install';
import { createFileContentStore } from '@fleetlora/shared/node';
import type { ReleaseManifest, SignedManifest } from '@fleetlora/shared/protocol';
import t from 'tap';
import { layTinyModel } from '../lib/laid-models.js';
import { tempFolder } from '../lib/temp-folder.js';

const digest = (letter: string): string => letter.repeat(64);
const empty: InstallRecord = {
  installed: null,
  highestNumber: 0,
  desired: null,
  begun: 0,
  finals: [],
  baseDigest: null,
};
const genome = 'g1:u:8.8.8.8.100/8.8.8.8.100';
const manifest: ReleaseManifest = {
  version: 1,
  releaseId: 'rel_0123456789',
  number: 1,
  name: 'one',
  createdAtMs: 1,
  genome,
  baseDigest: digest('1'),
  tokenizerDigest: digest('2'),
  packageDigest: digest('3'),
  packageBytes: 1,
  stopIds: [],
  golden: [{ text: 'a', promptIds: [1], expectedIds: [2] }],
};
const installed: InstalledRelease = {
  releaseId: 'rel_0123456789',
  number: 1,
  name: 'one',
  genome,
  baseDigest: digest('4'),
  tokenizerDigest: digest('5'),
  expandedDigest: digest('6'),
  stopIds: [],
};

t.test('a device without anything needs nothing', async (t) => {
  const store = await createFileContentStore(await tempFolder(t));
  t.same(await listNeededContent(store, empty), []);
});

t.test('the installed release: base, tokenizer and the expanded package', async (t) => {
  const store = await createFileContentStore(await tempFolder(t));
  t.same(await listNeededContent(store, { ...empty, installed }), [digest('4'), digest('5'), digest('6')]);
});

t.test('the wanted release: its manifest, and what that names once it is here', async (t) => {
  const store = await createFileContentStore(await tempFolder(t));
  const needed = (manifestDigest: string) =>
    listNeededContent(store, {
      ...empty,
      desired: { rolloutId: 'rol_0123456789', releaseId: 'rel_0123456789', manifestDigest },
    });
  t.same(await needed(digest('a')), [digest('a')], 'not fetched yet');
  const signed: SignedManifest = {
    keyId: digest('b'),
    manifest: JSON.stringify(manifest),
    signature: 'AAAA',
  };
  const stored = await store.put(Buffer.from(JSON.stringify(signed)));
  t.same(await needed(stored), [stored, digest('1'), digest('2'), digest('3')]);
  const other = await store.put(Buffer.from('no manifest'));
  t.same(await needed(other), [other]);
  const large = await store.put(Buffer.alloc(2 * 1024 * 1024 + 1));
  t.same(await needed(large), [large], 'more than a manifest may have is not read');
});

t.test('the base that answers alone: with the tokenizer its file records', async (t) => {
  const store = await createFileContentStore(await tempFolder(t));
  const { base, baseDigest, tokenizerDigest } = await layTinyModel();
  const needed = () => listNeededContent(store, { ...empty, baseDigest });
  t.same(await needed(), [baseDigest], 'not fetched yet');
  await store.put(base);
  t.same(await needed(), [baseDigest, tokenizerDigest]);
  await writeFile(store.pathOf(baseDigest), 'damaged');
  t.same(await needed(), [baseDigest]);
});
