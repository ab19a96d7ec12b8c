import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fuzzOne } from '@fleetlora/bench/fuzz';
import { checkingSource } from '@fleetlora/bench/fuzzing/checking-source';
import { fuzzReaders, type ReaderName } from '@fleetlora/bench/fuzzing/fuzz-readers';
import { makeMutant } from '@fleetlora/bench/fuzzing/read-mutants';
import { runFuzz } from '@fleetlora/bench/fuzzing/run-fuzz';
import t from 'tap';
import { tempFolder } from '../lib/temp-folder.js';

const FILES = 2000;
const names = Object.keys(fuzzReaders) as ReaderName[];

for (const name of names) {
  t.test(
    `${name}: ${FILES} changed files are read or refused, half of them behind a good header`,
    async (t) => {
      const report = await fuzzOne(name, { files: FILES, seed: 1, workFolder: await tempFolder(t) });
      t.strictSame(report.findings, []);
      t.match(report, {
        files: FILES,
        crashes: 0,
        hangs: 0,
        overReads: 0,
        overAllocations: 0,
        unplaced: 0,
      });
      t.ok(report.pastHeader >= FILES / 2, `${report.pastHeader} got past the header`);
      const refused = Object.values(report.refusals).reduce((sum, count) => sum + count, 0);
      t.equal(report.read + refused, FILES);
      t.ok(report.read > 0 && Object.keys(report.refusals).length > 5, 'both happen, for many reasons');
    },
  );

  t.test(`${name}: the files that the changed ones are made of are good`, async (t) => {
    const reader = await fuzzReaders[name]();
    for (const files of reader.seeds) {
      let pastHeader = false;
      const sources = Object.entries(files).map(([file, bytes]) => [file, checkingSource(bytes)]);
      await t.resolves(
        reader.read(Object.fromEntries(sources), () => {
          pastHeader = true;
        }),
      );
      t.ok(pastHeader);
    }
    t.strictSame(makeMutant(reader, 1, 6), makeMutant(reader, 1, 6), 'equal numbers, equal files');
    t.notSame(makeMutant(reader, 2, 6), makeMutant(reader, 1, 6));
  });
}

t.test(
  'readers that crash, hang, read outside or take too much memory are found, each by its file',
  async (t) => {
    const workFolder = join(await tempFolder(t), 'broken');
    await mkdir(workFolder);
    const report = await runFuzz({
      entry: new URL('../lib/children/broken-reader-child.js', import.meta.url),
      args: [],
      seed: 1,
      files: 14,
      workFolder,
      hangMs: 4000,
    });
    const found = (kind: string): number[] =>
      report.findings.filter((finding) => finding.kind === kind).map(({ file }) => file);
    t.strictSame(found('unplaced'), [2, 3], 'no place, and too long to be shown');
    t.strictSame(found('overRead'), [6]);
    t.strictSame(found('overAllocation'), [7, 8]);
    t.strictSame(found('crash').sort(), [10, 4, 5, 8, 9], 'thrown, ours, too large, killed, out of memory');
    t.strictSame(found('hang'), [11, 12], 'waits for ever, computes for ever');
    t.match(report, {
      files: 14,
      read: 4,
      crashes: 5,
      hangs: 2,
      overReads: 1,
      unplaced: 2,
      overAllocations: 2,
    });
    t.strictSame(report.refusals, { SAFETENSORS_HEADER: 3 });
  },
);
