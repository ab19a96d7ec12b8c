import { stat } from 'node:fs/promises';
import { CodedError } from '@fleetlora/shared/errors';
import type { FileContentStore } from '@fleetlora/shared/node';
import type { DatasetReport, DatasetSplit, SplitName } from '@fleetlora/shared/protocol';
import { brokenLine, noRows } from '@fleetlora/shared/text';
import { assignSplits } from './assign-splits.js';
import { collectFacts, type DataFacts, type FactsCollector, splitOrder } from './data-facts.js';
import { createLineFile, type LineFile, maxSplitBytes, splitTooLarge } from './line-file.js';
import { createRowMaker, warnOfSeam } from './make-row.js';
import type { DatasetFacts, ImportDatasetWork } from './model-work.js';
import { detectFormat, readRecords } from './read-records.js';
import { readLines } from './read-text.js';
import { reportData } from './report-data.js';

/** Rows of all splits together: what reads a data set holds it in memory. */
const MAX_ROWS = 2_000_000;

/**
 * Turns uploads into splits, each a JSONL file of {"prompt", "completion"} in the content store.
 * Every row is read once, made by the templates and written to a file beside; made splits then get
 * its lines dealt out, in their order. An upload that already has this form is its own split.
 * @throws DATA_LINE naming the first line that does not fit, DATA_COLUMN, DATA_EMPTY, BAD_REQUEST,
 *   MESSAGE_TOO_LARGE, DISK_FULL; then nothing is left beside
 */
export async function importDatasetFiles(
  store: FileContentStore,
  work: ImportDatasetWork,
): Promise<DatasetFacts> {
  const collector = collectFacts({ labelled: work.labelColumn !== undefined });
  const beside: LineFile[] = [];
  const createFile: CreateFile = async (split) => {
    const file = await createLineFile(work.incomingFolder, `split "${split}"`);
    beside.push(file);
    return file;
  };
  try {
    const splits: DatasetFacts['splits'] = {};
    if (work.split) {
      const whole = await createFile('all');
      await readUpload(store, work, { split: 'all', collector, copyTo: whole });
      await whole.finish();
      const facts = collector.facts();
      const dealt = { ...facts, splits: assignSplits(facts, work.split) };
      for (const [split, file] of await dealLines(whole.path, dealt.splits, createFile))
        splits[split] = await keep(store, file);
      return { splits, report: reportOf(work, dealt) };
    }
    for (const split of splitOrder) {
      const digest = work.files[split];
      if (digest === undefined) continue;
      const isOwnSplit =
        work.promptTemplate === undefined && (await formatOf(store, work, split)) === 'jsonl';
      const copyTo = isOwnSplit ? null : await createFile(split);
      const rows = await readUpload(store, work, { split, collector, copyTo });
      splits[split] = copyTo === null ? { digest, rows } : await keep(store, copyTo);
    }
    return { splits, report: reportOf(work, collector.facts()) };
  } finally {
    for (const file of beside) await file.discard();
  }
}

function reportOf(work: ImportDatasetWork, facts: DataFacts): DatasetReport {
  const report = reportData(facts);
  return { ...report, warnings: [...warnOfSeam(work), ...report.warnings] };
}

type CreateFile = (split: SplitName) => Promise<LineFile>;

async function formatOf(store: FileContentStore, work: ImportDatasetWork, split: SplitName) {
  return work.format ?? (await inFile(work, split, () => detectFormat(uploadOf(store, work, split))));
}

const uploadOf = (store: FileContentStore, work: ImportDatasetWork, split: SplitName): string =>
  store.pathOf(work.files[split] as string);

/** Reads one upload, tells the collector of its rows, copies them where wanted, and counts them. */
async function readUpload(
  store: FileContentStore,
  work: ImportDatasetWork,
  options: {
    readonly split: SplitName;
    readonly collector: FactsCollector;
    readonly copyTo: LineFile | null;
  },
): Promise<number> {
  const { split, collector, copyTo } = options;
  const path = uploadOf(store, work, split);
  const format = await formatOf(store, work, split);
  if (copyTo === null && (await stat(path)).size > maxSplitBytes) throw splitTooLarge(`split "${split}"`);
  // For each file anew: the columns are those of its first row.
  const makeRow = createRowMaker(work);
  return inFile(work, split, async () => {
    let rows = 0;
    for await (const record of readRecords(path, format)) {
      const row = makeRow(record);
      collector.add(row, split);
      rows++;
      if (collector.rows > MAX_ROWS)
        throw brokenLine(record.line, `is row ${MAX_ROWS + 1}, one more than allowed`);
      const full = copyTo?.add(JSON.stringify({ prompt: row.prompt, completion: row.completion }));
      if (full) await full;
    }
    if (rows === 0) throw noRows();
    return rows;
  });
}

/** Deals the lines of a file out to one file for each split, in their order. */
async function dealLines(
  path: string,
  splits: readonly SplitName[],
  createFile: CreateFile,
): Promise<Map<SplitName, LineFile>> {
  const files = new Map<SplitName, LineFile>();
  for (const name of splitOrder) if (splits.includes(name)) files.set(name, await createFile(name));
  for await (const { first, lines } of readLines(path)) {
    for (const [index, line] of lines.entries()) {
      if (line === '') continue;
      const full = files.get(splits[first + index - 1] as SplitName)?.add(line);
      if (full) await full;
    }
  }
  return files;
}

async function keep(store: FileContentStore, file: LineFile): Promise<DatasetSplit> {
  await file.finish();
  return { digest: await store.putFile(file.path), rows: file.lines };
}

/** Says in the errors of several files which of them is meant. */
async function inFile<T>(work: ImportDatasetWork, split: SplitName, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof CodedError) || split === 'all' || Object.keys(work.files).length === 1)
      throw error;
    throw new CodedError(error.code, `${split}: ${error.message}`, { cause: error });
  }
}
