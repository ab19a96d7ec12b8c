import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { fuzzReaders, type ReaderName } from './fuzzing/fuzz-readers.js';
import { type Finding, makeMutant } from './fuzzing/read-mutants.js';
import { type FuzzReport, runFuzz } from './fuzzing/run-fuzz.js';
import { atLeast, atMost, type Bench, type Check, skip } from './lib/bench.js';

const names = Object.keys(fuzzReaders) as ReaderName[];
const usual = { files: 20_000, quick: 2000, seed: 1 } as const;
/** Far above the milliseconds that a mutant takes, for a machine that has much else to do. */
const HANG_MS = 30_000;
/** Findings that are shown of each reader. */
const SHOWN = 5;

/** Whether a stranger's weight file can do more than be refused. */
export const fuzzProof: Bench = {
  name: 'proof:fuzz',
  summary: 'changed weight files: read, or refused with a code and a place; never a crash',
  options: {
    files: `changed files for each reader (${usual.files}, ${usual.quick} with --quick)`,
    seed: `which ones (${usual.seed})`,
    reader: `one of ${names.join(', ')} (all)`,
    keep: 'folder for the files that a reader did not answer well',
  },
  async run({ quick, options, workFolder, say }) {
    if (process.platform === 'win32') return skip('it limits the memory of a process by a POSIX shell');
    const files = parseWhole('files', options.files, quick ? usual.quick : usual.files, 1);
    const seed = parseWhole('seed', options.seed, usual.seed, 0);
    const wanted = options.reader === undefined ? names : names.filter((name) => name === options.reader);
    if (wanted.length === 0)
      throw new CodedError('BAD_USAGE', `--reader is ${options.reader}, wanted one of ${names.join(', ')}`);
    const reports: { name: ReaderName; report: FuzzReport }[] = [];
    for (const name of wanted) {
      say(`${files} changed files for the ${name} reader`);
      const report = await fuzzOne(name, { files, seed, workFolder });
      reports.push({ name, report });
      for (const { file, kind, message } of report.findings.slice(0, SHOWN))
        say(`${name} ${seed}:${file} ${kind}: ${message}`);
      if (options.keep !== undefined) await keepFiles(name, seed, report.findings, options.keep);
    }
    const sum = (of: (report: FuzzReport) => number): number =>
      reports.reduce((total, { report }) => total + of(report), 0);
    return {
      figures: {
        seed,
        files: sum((report) => report.files),
        crashes: sum((report) => report.crashes),
        hangs: sum((report) => report.hangs),
        overReads: sum((report) => report.overReads),
        readers: reports.map(({ name, report }) => ({
          reader: name,
          files: report.files,
          read: report.read,
          pastHeader: report.pastHeader,
          slowestMs: Math.round(report.slowestMs),
          refusals: report.refusals,
        })),
      },
      checks: reports.flatMap(({ name, report }) => checksOf(name, files, report)),
    };
  },
};

/** Reads the mutants of one reader. */
export async function fuzzOne(
  name: ReaderName,
  run: { readonly files: number; readonly seed: number; readonly workFolder: string },
): Promise<FuzzReport> {
  const workFolder = join(run.workFolder, name);
  await mkdir(workFolder, { recursive: true });
  const entry = new URL('./fuzzing/fuzz-child.js', import.meta.url);
  return runFuzz({ ...run, workFolder, entry, args: [name], hangMs: HANG_MS });
}

function checksOf(name: ReaderName, files: number, report: FuzzReport): Check[] {
  return [
    atLeast(`${name}: files`, report.files, files),
    // Some of the others keep it by chance.
    atLeast(`${name}: files whose header was accepted`, report.pastHeader, Math.ceil(files / 2)),
    atMost(`${name}: crashes`, report.crashes, 0),
    atMost(`${name}: hangs`, report.hangs, 0),
    atMost(`${name}: reads outside of the file`, report.overReads, 0),
    atMost(`${name}: allocations beyond what the file holds`, report.overAllocations, 0),
    atMost(`${name}: refusals that name no place`, report.unplaced, 0),
  ];
}

async function keepFiles(
  name: ReaderName,
  seed: number,
  findings: readonly Finding[],
  folder: string,
): Promise<void> {
  const reader = await fuzzReaders[name]();
  for (const { file } of findings) {
    const place = join(folder, `${name}-${seed}-${file}`);
    await mkdir(place, { recursive: true });
    for (const [fileName, bytes] of Object.entries(makeMutant(reader, seed, file)))
      await writeFile(join(place, fileName), bytes);
  }
}

function parseWhole(name: string, text: string | undefined, usually: number, least: number): number {
  const number = text === undefined ? usually : Number(text);
  if (Number.isInteger(number) && number >= least && number < 2 ** 32) return number;
  throw new CodedError(
    'BAD_USAGE',
    `--${name} is ${text}, wanted a whole number from ${least} to ${2 ** 32 - 1}`,
  );
}
